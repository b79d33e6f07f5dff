"""Each night: small files become large ones."""

from airflow import DAG

from vitral_tasks import settings, vitral

with DAG("vitral_compactacao", doc_md=__doc__, **settings("40 3 * * *")):
    vitral("compactacao", "batch run compactacao")
