// 'Estoque em falta': products that are out of stock or soon will be, the most pressing first. The panel is there only while there are some.

import { el, setText } from '../shared/dom.js';
import { decimal, integer } from '../shared/format.js';

const STATES = { disparado: 'avisado', pendente: 'aguarda' };

export class Stock {
  constructor(panel, body, summary) {
    this.panel = panel;
    this.body = body;
    this.summary = summary;
    this.lines = [];
  }

  /** Takes the rows of `GET /estoque/alertas`. `most`: as many as were asked for, and there may be more. */
  update(rows, most) {
    this.panel.hidden = !rows.length;
    const empty = rows.filter((row) => row.nivel_estoque <= 0).length;
    setText(this.summary, `${rows.length < most ? '' : 'os primeiros '}${integer(rows.length)}, ${integer(empty)} sem nenhuma unidade`);
    while (this.lines.length > rows.length) this.lines.pop().root.remove();
    while (this.lines.length < rows.length) this.add();
    rows.forEach((row, index) => show(this.lines[index].cells, row));
  }

  add() {
    const cells = ['', 'number', 'number', 'number', ''].map((kind) => el('td', { class: kind || null }));
    const root = el('tr', {}, ...cells);
    this.lines.push({ root, cells });
    this.body.append(root);
  }
}

function show([product, level, sold, cover, state], row) {
  setText(product, row.nome ?? row.id_produto);
  setText(level, integer(row.nivel_estoque));
  setText(sold, decimal(row.velocidade_dia, 2));
  setText(cover, row.dias_cobertura === null ? '—' : decimal(row.dias_cobertura, 1));
  setText(state, STATES[row.estado] ?? row.estado);
}
