-- What shops send to Google Analytics 4 by its Measurement Protocol: {"client_id": ..., "events": [{"name": ..., "params": {"items": [...]}}]}.
-- An event is a message for each of its items, or one without a product. GA4's price is what is left of a unit's after its discount, so
-- the two together are `preco`, but of a refund, where `preco` is what a unit gives back. Without items the value is the order's.
-- GA4 counts an order once, whatever is sent again, and so does `id_evento` of purchases. An event without a time is of the moment it comes.
CREATE VIEW ga4 WITH (input_for = 'eventos_clientes', rows = 'events, events.params.items') AS
SELECT
    coalesce("user_id", "client_id", "app_instance_id") AS id_usuario,
    CASE "events.name"
        WHEN 'view_item' THEN 'visualizacao'
        WHEN 'search' THEN 'busca'
        WHEN 'view_search_results' THEN 'busca'
        WHEN 'add_to_cart' THEN 'adicao_carrinho'
        WHEN 'remove_from_cart' THEN 'remocao_carrinho'
        WHEN 'begin_checkout' THEN 'inicio_checkout'
        WHEN 'purchase' THEN 'compra'
        WHEN 'refund' THEN 'reembolso'
        ELSE "events.name"
    END AS tipo_evento,
    -- What is not a number of this era stays as it is, and is refused by its name.
    coalesce(
        CASE
            WHEN try_cast(coalesce("events.timestamp_micros", "timestamp_micros") AS BIGINT) BETWEEN 0 AND 253402300799999999
                THEN CAST(
                    arrow_cast(
                        try_cast(coalesce("events.timestamp_micros", "timestamp_micros") AS BIGINT),
                        'Timestamp(Microsecond, Some("UTC"))'
                    ) AS VARCHAR
                )
        END,
        "events.timestamp_micros",
        "timestamp_micros",
        CAST(arrow_cast(now(), 'Timestamp(Microsecond, Some("UTC"))') AS VARCHAR)
    ) AS timestamp,
    coalesce("events.params.items.item_id", "events.params.items.item_name") AS id_produto,
    CASE
        WHEN "events.name" = 'purchase' AND "events.params.transaction_id" IS NOT NULL
            THEN concat('ga4/', "events.params.transaction_id", '/', CAST(coalesce(linha, 0) AS VARCHAR))
    END AS id_evento,
    coalesce("events.params.session_id", "events.params.ga_session_id") AS id_sessao,
    "events.params.transaction_id" AS id_pedido,
    'ga4' AS canal,
    "events.params.items.item_category" AS categoria,
    coalesce("events.params.items.affiliation", "events.params.affiliation") AS id_afiliado,
    "events.params.items.quantity" AS quantidade,
    -- What is not a number stays as it is, and is refused by its name.
    CASE
        WHEN "events.params.items.discount" IS NULL OR "events.name" = 'refund' THEN "events.params.items.price"
        ELSE coalesce(
            CAST(
                try_cast("events.params.items.price" AS DECIMAL(38, 18))
                + try_cast("events.params.items.discount" AS DECIMAL(38, 18)) AS VARCHAR
            ),
            "events.params.items.price"
        )
    END AS preco,
    CASE
        WHEN linha IS NULL AND "events.name" IN ('purchase', 'refund') THEN "events.params.value"
    END AS valor_total,
    CASE
        WHEN "events.name" = 'refund' THEN NULL
        WHEN "events.params.items.quantity" IS NULL THEN "events.params.items.discount"
        ELSE coalesce(
            CAST(
                try_cast("events.params.items.discount" AS DECIMAL(38, 18))
                * try_cast("events.params.items.quantity" AS DECIMAL(20, 0)) AS VARCHAR
            ),
            "events.params.items.discount"
        )
    END AS desconto,
    coalesce("events.params.currency", "events.params.items.currency") AS moeda
FROM corpo;
