-- Carts that are open, abandoned, or were abandoned and then bought. A cart with items is `aberto` until 30 minutes have passed without an
-- addition, a removal or a begun checkout, as far as the committed watermark knows, and `abandonado` from then on. One is `recuperado` if
-- 30 minutes or more passed between its last addition and the checkout, or between the checkout and the purchase that completed it
-- (without a checkout, between addition and purchase), nothing was taken out after that addition, and nothing was put in since: the table
-- has the last of each, so pauses before these are not seen. Emptied carts are in none of these. `desde` is the last activity, of a
-- recovered cart its purchase.
CREATE VIEW carrinhos_abandonados AS
SELECT
    id_usuario,
    CASE estado WHEN 'recuperado' THEN ultima_compra ELSE ultima_atividade END AS desde,
    coalesce(itens, 0) AS itens,
    coalesce(valor, 0) AS valor,
    moeda,
    estado
FROM (
    SELECT
        *,
        CASE
            WHEN itens > 0 AND ultima_atividade > marca_dagua() - INTERVAL '30 minutes' THEN 'aberto'
            WHEN itens > 0 THEN 'abandonado'
            WHEN itens IS NULL
                AND ultima_adicao >= coalesce(ultima_remocao, ultima_adicao)
                AND CASE
                    WHEN ultimo_checkout BETWEEN ultima_adicao AND ultima_compra THEN
                        ultimo_checkout >= ultima_adicao + INTERVAL '30 minutes'
                        OR ultima_compra >= ultimo_checkout + INTERVAL '30 minutes'
                    ELSE ultima_compra >= ultima_adicao + INTERVAL '30 minutes'
                END THEN 'recuperado'
        END AS estado
    FROM carrinhos
) AS com_estado
WHERE estado IS NOT NULL;
