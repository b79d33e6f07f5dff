-- Sales orders as Tiny exports them, a line for each product. Cancelled orders and drafts are left out.
CREATE VIEW tiny WITH (profile_for = 'vendas', identity = 'item') AS
SELECT
    "Número do pedido" AS id_pedido,
    coalesce(optional("Código (SKU)"), "ID produto", "Descrição") AS id_produto,
    "Quantidade" AS quantidade,
    "Valor unitário" AS preco,
    momento AS timestamp,
    contato AS id_usuario,
    regiao,
    canal
FROM (
    SELECT
        *,
        first_value("Data") IGNORE NULLS OVER pedido AS momento,
        lower(coalesce(first_value(optional("Situação")) IGNORE NULLS OVER pedido, '')) AS situacao,
        first_value("ID contato") IGNORE NULLS OVER pedido AS contato,
        first_value(optional("UF")) IGNORE NULLS OVER pedido AS regiao,
        first_value(optional("Canal de venda")) IGNORE NULLS OVER pedido AS canal
    FROM arquivo
    WINDOW pedido AS (PARTITION BY "Número do pedido" ORDER BY linha)
) AS linhas
WHERE situacao NOT LIKE 'cancelad%' AND situacao NOT LIKE 'dados incompletos%' AND situacao NOT LIKE 'em digita%';
