// 'Alertas': what fires now, what waits before it fires, and alerts whose query fails. The panel is there only while there is something.

import { parseTime } from './api.js';
import { el, setText } from './dom.js';
import { integer, moment } from './format.js';

const STATES = {
  falha: { text: 'Falha', key: 'recusadas' },
  disparado: { text: 'Disparado', key: 'recusadas' },
  pendente: { text: 'Pendente', key: 'atrasadas' },
};
const SEVERITIES = { critical: 'crítico', warning: 'atenção', info: 'informação' };
/** More would hide the numbers. */
const SHOWN = 20;

export class Alerts {
  constructor(panel, list, summary) {
    this.panel = panel;
    this.list = list;
    this.summary = summary;
    this.entries = [];
  }

  /** Takes the rows of `GET /alertas`. */
  update({ rows, now }) {
    const standing = rows.filter((row) => STATES[row.estado]);
    this.panel.hidden = !standing.length;
    const fired = standing.filter((row) => row.estado === 'disparado').length;
    setText(this.summary, fired === 1 ? '1 disparado' : `${integer(fired)} disparados`);
    const shown = standing.slice(0, SHOWN);
    this.fit(shown.length);
    shown.forEach((row, index) => show(this.entries[index], row, now));
  }

  fit(length) {
    while (this.entries.length > length) this.entries.pop().root.remove();
    while (this.entries.length < length) {
      const entry = {
        key: el('i', { class: 'key' }),
        state: el('b'),
        name: el('span'),
        detail: el('p', { class: 'sub' }),
        at: el('span', { class: 'soft' }),
      };
      entry.root = el('li', { class: 'entry' }, el('span', {}, entry.key, entry.state, ' ', entry.name), entry.at, entry.detail);
      this.entries.push(entry);
      this.list.append(entry.root);
    }
  }
}

function show(entry, row, now) {
  const { text, key } = STATES[row.estado];
  entry.key.dataset.verdict = key;
  setText(entry.state, text);
  setText(entry.name, row.chave ? `${row.alerta} · ${row.chave}` : row.alerta);
  setText(entry.detail, detail(row));
  setText(entry.at, `desde ${moment(parseTime(row.desde), now, true)}`);
}

function detail({ estado, severidade, linhas, silenciado, notificacao, conteudo }) {
  if (estado === 'falha') return `A consulta falha, e por isso o alerta nem dispara nem resolve: ${conteudo}`;
  const parts = [SEVERITIES[severidade] ?? severidade, linhas === 1 ? '1 linha' : `${integer(linhas)} linhas`];
  if (silenciado) parts.push('silenciado');
  if (notificacao === 'pendente') parts.push('aviso a caminho');
  else if (notificacao) parts.push(notificacao === 'entregue' ? 'avisado' : `aviso ${notificacao}`);
  return parts.join(' · ');
}
