-- Clicks as documents, for long and for a minute.
CREATE TABLE registros_cliques WITH (connector = 'mongodb', connection = 'clientes', expires = '90 days') AS
SELECT id_evento, id_usuario, id_produto, segmento, timestamp FROM eventos_clientes WHERE tipo_evento = 'clique';

CREATE TABLE cliques_do_minuto WITH (connector = 'mongodb', connection = 'clientes', expires = '1 minute') AS
SELECT id_evento, timestamp FROM eventos_clientes WHERE tipo_evento = 'clique';
