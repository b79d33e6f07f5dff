-- Every sale and every refund as a row of the warehouse: texts without blanks around them, empty ones as none, currencies in capitals.
CREATE TABLE limpeza_vendas WITH (connector = 'warehouse', job = 'limpeza', table = 'vendas', per = 'day', date = 'data') AS
SELECT
    nullif(trim(id_pedido), '') AS id_pedido,
    nullif(trim(id_produto), '') AS id_produto,
    quantidade,
    preco,
    data,
    timestamp,
    nullif(trim(id_usuario), '') AS id_usuario,
    nullif(trim(regiao), '') AS regiao,
    nullif(trim(categoria), '') AS categoria,
    nullif(trim(canal), '') AS canal,
    nullif(trim(id_afiliado), '') AS id_afiliado,
    upper(trim(moeda)) AS moeda,
    valor,
    desconto
FROM vendas;

CREATE TABLE limpeza_reembolsos WITH (
    connector = 'warehouse', job = 'limpeza', table = 'reembolsos', per = 'day', date = 'data'
) AS
SELECT
    nullif(trim(id_pedido), '') AS id_pedido,
    nullif(trim(id_produto), '') AS id_produto,
    quantidade,
    preco,
    data,
    timestamp,
    nullif(trim(id_usuario), '') AS id_usuario,
    nullif(trim(regiao), '') AS regiao,
    nullif(trim(categoria), '') AS categoria,
    nullif(trim(canal), '') AS canal,
    nullif(trim(id_afiliado), '') AS id_afiliado,
    upper(trim(moeda)) AS moeda,
    valor
FROM reembolsos;
