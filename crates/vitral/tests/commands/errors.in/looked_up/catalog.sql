CREATE TABLE precos (id TEXT NOT NULL, preco DECIMAL(18, 2)) WITH (connector = 'file', key = 'id');
CREATE TABLE marcas (id TEXT NOT NULL, marca TEXT) WITH (connector = 'file', key = 'id');

CREATE TABLE pedidos (
    quando TIMESTAMP NOT NULL,
    id_produto TEXT,
    preco DECIMAL(18, 2) GENERATED ALWAYS AS (lookup('precos', id_produto, 'preco')) STORED,
    marca TEXT GENERATED ALWAYS AS (lookup('marcas', id_produto, 'marca')) STORED
) WITH (connector = 'kafka', event_time = 'quando');
