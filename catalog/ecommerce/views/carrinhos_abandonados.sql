-- Carts that are open, abandoned, or were abandoned and then bought. A cart with items is `aberto` until 30 minutes have passed without an
-- addition, a removal or a begun checkout, as far as the committed watermark knows, and `abandonado` from then on. One is `recuperado` if
-- the purchase that completed it came 30 minutes or more after the last addition, nothing was taken out after that, and nothing was put in
-- since. Emptied carts are in none of these. `desde` is the last activity, of a recovered cart its purchase.
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
                AND ultima_compra >= ultima_adicao + INTERVAL '30 minutes'
                AND ultima_adicao >= coalesce(ultima_remocao, ultima_adicao) THEN 'recuperado'
        END AS estado
    FROM carrinhos
) AS com_estado
WHERE estado IS NOT NULL;
