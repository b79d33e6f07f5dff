-- What asyncpg sends when a connection goes back to its pool, and what pools ask to see whether it lives.
SELECT pg_advisory_unlock_all()
;
CLOSE ALL
;
UNLISTEN *
;
RESET ALL
;
SELECT 1
;
SHOW server_version_num
;
SELECT current_setting('server_version_num')
;
SELECT pg_is_in_recovery()
;
show transaction_read_only
;
