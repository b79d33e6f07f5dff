-- What reconciliations have found, newest first: whether a metric's published windows are what the archive gives.
CREATE VIEW reconciliacoes_recentes
WITH (path = '/reconciliacao', scope = 'reconciliacao:read', limite = 100, descricao = 'Published numbers compared with the archive') AS
SELECT
    instante, origem, metrica, de, ate, publicada_ate, janelas, linhas, diferencas, quebras, veredito, reparada, duracao_ms
FROM reconciliacao
WHERE
    ($de IS NULL OR instante >= $de)
    AND ($ate IS NULL OR instante < $ate)
    AND ($metrica IS NULL OR metrica = $metrica)
    AND ($veredito IS NULL OR veredito = $veredito)
ORDER BY instante DESC, metrica, reparada DESC
LIMIT $limite;
