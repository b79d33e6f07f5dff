-- What pgadbc sends when it connects and looks around; each statement ends with a line of its own.
SELECT attname, atttypid FROM pg_catalog.pg_class AS cls INNER JOIN pg_catalog.pg_attribute AS attr ON cls.oid = attr.attrelid INNER JOIN pg_catalog.pg_type AS typ ON attr.atttypid = typ.oid WHERE attr.attnum >= 0 AND cls.oid = 'vendas'::regclass::oid ORDER BY attr.attnum
;
