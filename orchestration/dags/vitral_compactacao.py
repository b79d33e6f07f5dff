"""Each night: small files become large ones."""

from airflow import DAG

from vitral_tasks import settings, vitral

with DAG("vitral_compactacao", schedule="40 3 * * *", doc_md=__doc__, **settings()):
    vitral("compactacao", "batch run compactacao")
