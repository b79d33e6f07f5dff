"""The day before, of the shop's zone: clean, aggregate into the warehouse, check."""

from airflow import DAG

from vitral_tasks import DAY, settings, vitral

with DAG("vitral_diario", doc_md=__doc__, **settings("30 2 * * *")):
    clean = vitral("limpeza", f"batch run limpeza --date {DAY}")
    tables = [
        vitral(job, f"batch run {job} --date {DAY}")
        for job in ["vendas_por_regiao", "vendas_por_categoria", "receita_mensal", "mais_vendidos"]
    ]
    # What a check finds does not go away by trying again.
    checks = vitral("verificacoes", f"batch run verificacoes --date {DAY}", retries=0)
    clean >> tables >> checks
