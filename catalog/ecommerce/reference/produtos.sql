-- The shop's products.
CREATE TABLE produtos (
    id_produto TEXT NOT NULL,
    nome TEXT,
    categoria TEXT
) WITH (connector = 'file', path = 'produtos.csv');
