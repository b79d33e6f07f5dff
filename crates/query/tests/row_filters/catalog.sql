CREATE TABLE eventos (
    inquilino TEXT,
    id_usuario TEXT,
    produto TEXT,
    valor BIGINT,
    texto TEXT,
    quando TIMESTAMP NOT NULL
) WITH (connector = 'kafka', event_time = 'quando');

CREATE TABLE leituras (sensor TEXT, quando TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 'quando');

CREATE TABLE lojas (inquilino TEXT NOT NULL, cidade TEXT) WITH (connector = 'file', path = 'lojas.csv');

CREATE TABLE produtos (produto TEXT NOT NULL, nome TEXT) WITH (connector = 'file', path = 'produtos.csv');

CREATE MATERIALIZED VIEW por_minuto AS
SELECT tumble(INTERVAL '1 minute') AS janela, inquilino, produto, count(*) AS n, sum(valor) AS total
FROM eventos GROUP BY janela, inquilino, produto HAVING count(*) > 1;

CREATE MATERIALIZED VIEW sessoes AS
SELECT session(INTERVAL '30 seconds', inquilino, id_usuario) AS janela, inquilino, id_usuario, count(*) AS n
FROM eventos GROUP BY janela, inquilino, id_usuario;

CREATE MATERIALIZED VIEW sessoes_de_todos AS
SELECT session(INTERVAL '30 seconds', id_usuario) AS janela, inquilino, id_usuario, count(*) AS n
FROM eventos GROUP BY janela, inquilino, id_usuario;

CREATE MATERIALIZED VIEW geral AS
SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM eventos GROUP BY janela;

CREATE MATERIALIZED VIEW melhores AS
SELECT tumble(INTERVAL '1 minute') AS janela, inquilino, count(*) AS n
FROM eventos GROUP BY janela, inquilino ORDER BY n DESC LIMIT 2;

CREATE MATERIALIZED VIEW trocado AS
SELECT tumble(INTERVAL '1 minute') AS janela, max(inquilino) AS inquilino, produto, count(*) AS n
FROM eventos GROUP BY janela, produto;

CREATE MATERIALIZED VIEW por_usuario AS
SELECT inquilino, id_usuario, count(*) AS n, sum(valor) AS total FROM eventos GROUP BY inquilino, id_usuario;

CREATE MATERIALIZED VIEW ultimo AS
SELECT id_usuario, latest(inquilino) AS inquilino FROM eventos GROUP BY id_usuario;

CREATE VIEW vendas AS SELECT inquilino, produto, valor, quando FROM eventos WHERE valor > 10;

CREATE VIEW resumo AS SELECT produto, count(*) AS n, sum(valor) AS total FROM vendas GROUP BY produto;

CREATE VIEW posicoes AS
SELECT produto, valor, rank() OVER (ORDER BY valor DESC NULLS LAST) AS posicao FROM eventos;

CREATE VIEW maiores AS SELECT produto, valor FROM vendas ORDER BY valor DESC, produto LIMIT 9;

CREATE VIEW comparado AS SELECT p.produto, p.n FROM por_minuto AS p JOIN resumo AS r ON r.produto = p.produto;

CREATE VIEW com_nome AS SELECT v.produto, p.nome FROM vendas AS v JOIN produtos AS p ON p.produto = v.produto;

CREATE VIEW parte AS SELECT v.produto, g.n FROM vendas AS v CROSS JOIN geral AS g;

CREATE VIEW agora_de_todos AS SELECT n FROM agora.geral;

CREATE VIEW resumo_de_vendas WITH (path = '/resumo', scope = 'vendas:read') AS
SELECT produto, n, total FROM resumo ORDER BY n DESC, produto LIMIT $limite;

CREATE VIEW total_de_todos WITH (path = '/total') AS SELECT sum(n) AS n FROM parte;
