"""Each hour: whatever has changed since the last run."""

from airflow import DAG

from vitral_tasks import settings, vitral

with DAG("vitral_horario", doc_md=__doc__, **settings("5 * * * *")):
    vitral("vendas_por_regiao", "batch run vendas_por_regiao")
    vitral("vendas_por_categoria", "batch run vendas_por_categoria")
    vitral("receita_mensal", "batch run receita_mensal")
    vitral("mais_vendidos", "batch run mais_vendidos")
