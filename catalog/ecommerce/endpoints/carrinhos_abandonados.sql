-- Abandoned carts, the newest first; with `estado` those that are `aberto` or `recuperado`.
CREATE VIEW lista_carrinhos_abandonados
WITH (path = '/carrinhos/abandonados', limite = 100, descricao = 'Abandoned carts; estado gives others') AS
SELECT id_usuario, desde, itens, valor, moeda, estado
FROM carrinhos_abandonados
WHERE
    estado = coalesce(lower(nullif($estado, '')), 'abandonado')
    AND ($moeda IS NULL OR moeda = upper($moeda))
    AND ($de IS NULL OR desde >= $de)
    AND ($ate IS NULL OR desde < $ate)
ORDER BY desde DESC, id_usuario, moeda
LIMIT $limite;
