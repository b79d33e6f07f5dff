-- The shop's products. Answers show their names next to their ids.
CREATE TABLE produtos (
    id_produto TEXT NOT NULL,
    nome TEXT,
    categoria TEXT
) WITH (connector = 'file', path = 'produtos.csv', names = 'id_produto', by = 'nome');
