-- Sales as Mercado Livre reports them. A package has a line of its own, which sums up the lines of its products: only they are sales.
-- Cancelled sales, and those whose payment has not come, are left out.
CREATE VIEW mercado_livre WITH (profile_for = 'vendas', identity = 'item', dates = 'dmy', status = 'Estado') AS
SELECT
    "N.º de venda" AS id_pedido,
    coalesce("SKU", optional("# de anúncio"), optional("Título do anúncio")) AS id_produto,
    "Unidades" AS quantidade,
    "Preço unitário de venda do anúncio (BRL)" AS preco,
    "Data da venda" AS timestamp,
    'BRL' AS moeda,
    optional("Estado_2") AS regiao,
    'mercado livre' AS canal
FROM arquivo
WHERE "Unidades" IS NOT NULL
    AND lower(coalesce("Estado", '')) NOT LIKE 'pacote de %'
    AND NOT regexp_like(
        translate(lower(coalesce("Estado", '')), 'áàâãéêíóôõúç', 'aaaaeeiooouc'),
        'cancel|pagamento pendente|pendente de pagamento|(aguardando|esperando|falta) (o )?pagamento|nao pag|pagamento (em analise|recusad|negad|expirad)'
    );

-- What buyers got back, on the sale's own date, as the report has no other. An amount of letters alone comes along, and
-- is refused by its cell.
CREATE VIEW mercado_livre_reembolsos WITH (profile_for = 'reembolsos', profile = 'mercado_livre', identity = 'item') AS
SELECT
    "N.º de venda" AS id_pedido,
    coalesce("SKU", optional("# de anúncio"), optional("Título do anúncio")) AS id_produto,
    ltrim(optional("Cancelamentos e reembolsos (BRL)"), '-') AS valor_total,
    "Data da venda" AS timestamp,
    'BRL' AS moeda,
    optional("Estado_2") AS regiao,
    'mercado livre' AS canal
FROM arquivo
WHERE "Unidades" IS NOT NULL
    AND lower(coalesce("Estado", '')) NOT LIKE 'pacote de %'
    AND lower(coalesce("Estado", '')) NOT LIKE '%cancel%'
    AND regexp_like(optional("Cancelamentos e reembolsos (BRL)"), '[1-9]|^[^0-9]*[a-zA-Z][^0-9]*$');
