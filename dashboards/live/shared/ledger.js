// 'Livro': the last messages that did not count, each with its reason and its place in the log.

import { parseTime } from './api.js';
import { el, setOverlay, setText } from './dom.js';
import { moment } from './format.js';

const VERDICTS = {
  duplicada: { text: 'Duplicada', key: 'duplicadas' },
  atrasada: { text: 'Atrasada', key: 'atrasadas' },
  recusada: { text: 'Recusada', key: 'recusadas' },
  vazia: { text: 'Vazia', key: 'outras' },
  nao_entregue: { text: 'Não entregue', key: 'outras' },
};
const REASON_TEXT = {
  json: 'não é um objeto JSON',
  campo_ausente: 'falta um campo',
  tipo: 'campo de outro tipo',
  tempo: 'horário inválido',
  futuro: 'horário no futuro',
  tamanho: 'grande demais',
  valor: 'valor não permitido',
  linha: 'linha fora do formato',
};

export class Ledger {
  constructor(list) {
    this.list = list;
    this.entries = [];
  }

  /** Takes rows of `GET /livro`, in the order in which they are shown. */
  update({ rows, now }) {
    setOverlay(this.list, rows.length ? '' : 'Nada ficou de fora', 'Nenhuma mensagem das últimas 24 horas deixou de contar.');
    this.fit(rows.length);
    rows.forEach((row, index) => {
      const entry = this.entries[index];
      const { text, key } = VERDICTS[row.veredito] ?? { text: String(row.veredito), key: 'outras' };
      entry.key.dataset.verdict = key;
      setText(entry.verdict, text);
      setText(entry.reason, row.motivo ? (REASON_TEXT[row.motivo] ?? row.motivo) : '');
      setText(entry.place, placeText(row));
      setText(entry.at, moment(parseTime(row.chegada), now, true));
    });
  }

  fit(length) {
    while (this.entries.length > length) this.entries.pop().root.remove();
    while (this.entries.length < length) {
      const entry = {
        key: el('i', { class: 'key' }),
        verdict: el('b'),
        reason: el('span', { class: 'soft' }),
        place: el('p', { class: 'sub' }),
        at: el('span', { class: 'soft' }),
      };
      entry.root = el('li', { class: 'entry' }, el('span', {}, entry.key, entry.verdict, ' ', entry.reason), entry.at, entry.place);
      this.entries.push(entry);
      this.list.append(entry.root);
    }
  }
}

/** Offsets as Kafka's own tools write them; a range that was never delivered is one row. Rows of files have their line. */
function placeText({ topico, particao, deslocamento, deslocamento_fim: last, arquivo, planilha, linha }) {
  if (arquivo) return `${topico} · ${arquivo}${planilha ? ` · ${planilha}` : ''} · linha ${linha}`;
  const offsets = last === null || last === undefined || last === deslocamento ? deslocamento : `${deslocamento}–${last}`;
  return `${topico} · partição ${particao} · deslocamento ${offsets}`;
}
