-- The regions that the shop sells to.
CREATE TABLE regioes (
    regiao TEXT NOT NULL,
    nome TEXT
) WITH (connector = 'file', path = 'regioes.csv');
