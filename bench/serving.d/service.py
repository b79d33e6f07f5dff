"""The two sales endpoints as they are usually written: FastAPI, pandas, and one table in PostgreSQL with an index on the time."""

import os

import pandas
import sqlalchemy
from fastapi import FastAPI

app = FastAPI()
database = sqlalchemy.create_engine(os.environ["DATABASE"].replace("postgresql://", "postgresql+psycopg://"), pool_size=4)


def sales(de: str | None, ate: str | None, categoria: str | None, regiao: str | None, moeda: str) -> pandas.DataFrame:
    text = "SELECT id_produto, id_pedido, quantidade, valor FROM vendas WHERE moeda = :moeda"
    for condition, value in (("instante >= :de", de), ("instante < :ate", ate), ("categoria = :categoria", categoria), ("regiao = :regiao", regiao)):
        text += f" AND {condition}" if value else ""
    values = {"de": de, "ate": ate, "categoria": categoria, "regiao": regiao, "moeda": moeda}
    return pandas.read_sql(sqlalchemy.text(text), database, params=values)


def summary(rows: pandas.DataFrame) -> pandas.DataFrame:
    groups = rows.groupby("id_produto")
    found = groups.agg(total_vendido=("quantidade", "sum"), receita=("valor", "sum"), pedidos=("id_pedido", "nunique")).reset_index()
    return found.sort_values(["total_vendido", "receita", "id_produto"], ascending=[False, False, True])


@app.get("/vendas/resumo")
def resumo(de: str | None = None, ate: str | None = None, categoria: str | None = None, regiao: str | None = None, moeda: str = "BRL", limite: int = 100):
    return summary(sales(de, ate, categoria, regiao, moeda)).head(limite).to_dict("records")


@app.get("/produtos/mais_vendidos")
def mais_vendidos(de: str | None = None, ate: str | None = None, categoria: str | None = None, regiao: str | None = None, moeda: str = "BRL", limite: int = 10):
    found = summary(sales(de, ate, categoria, regiao, moeda)).head(limite)[["id_produto", "total_vendido", "receita"]]
    found.insert(0, "posicao", range(1, len(found) + 1))
    return found.to_dict("records")
