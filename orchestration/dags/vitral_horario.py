"""Each hour: what is live, and every table, for all that has changed since the last run, be it by the stream, late rows, a replay or a file."""

from airflow import DAG

from vitral_tasks import settings, vitral

with DAG("vitral_horario", doc_md=__doc__, **settings("5 * * * *")):
    for job in [
        "tempo_real",
        "limpeza",
        "vendas_por_regiao",
        "vendas_por_categoria",
        "receita_mensal",
        "mais_vendidos",
        "receita_por_segmento",
        "reembolsos_por_dia",
        "conversao",
        "novos_e_recorrentes",
        "rfm",
        "coortes",
        "usuarios_ativos_por_dia",
        "giro_estoque",
    ]:
        vitral(job, f"batch run {job}")
