-- Who the users are: the segment that the shop puts each in, and their city. Topics can look them up by user.
CREATE TABLE perfis_usuarios (
    id_usuario TEXT NOT NULL,
    segmento TEXT,
    cidade TEXT
) WITH (connector = 'file', path = 'perfis_usuarios.csv', key = 'id_usuario');
