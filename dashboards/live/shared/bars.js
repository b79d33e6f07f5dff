// A ranking as horizontal bars; rows slide to their new places.

import { el, setOverlay, setText } from './dom.js';

const SLIDE = { duration: 450, easing: 'cubic-bezier(.2, .7, .2, 1)' };
const calm = matchMedia('(prefers-reduced-motion: reduce)');

export class Bars {
  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
    this.rows = new Map();
  }

  /** Shows `items`, in order: `{ key, label, value, text, note? }`; the bar's length is `value` against the largest. */
  update(items) {
    const top = Math.max(...items.map((item) => item.value), 0);
    const before = new Map([...this.rows].map(([key, row]) => [key, placeOf(row)]));
    const wanted = new Set(items.map((item) => item.key));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.root.remove();
      this.rows.delete(key);
    }
    items.forEach((item, index) => {
      const row = this.rows.get(item.key) ?? this.add(item.key);
      if (this.list.children[index] !== row.root) this.list.insertBefore(row.root, this.list.children[index] ?? null);
      setText(row.rank, String(index + 1));
      setText(row.label, item.label);
      row.label.title = item.label;
      setText(row.text, item.text);
      setText(row.note, item.note ?? '');
      row.fill.style.setProperty('--share', top > 0 ? (item.value / top).toFixed(4) : '0');
    });
    if (!calm.matches) this.slide(before);
    setOverlay(this.list, items.length ? '' : this.empty.text, this.empty.hint);
  }

  add(key) {
    const rank = el('span', { class: 'bar-rank' });
    const label = el('span', { class: 'bar-label' });
    const text = el('span', { class: 'bar-text' });
    const note = el('span', { class: 'bar-note' });
    const fill = el('span', { class: 'bar-fill' });
    const root = el('li', { class: 'bar' }, rank, label, el('span', { class: 'bar-figures' }, note, text), el('span', { class: 'bar-track' }, fill));
    const row = { root, rank, label, text, note, fill };
    this.rows.set(key, row);
    return row;
  }

  slide(before) {
    for (const [key, row] of this.rows) {
      const from = before.get(key);
      const to = placeOf(row);
      if (from === undefined || from.left !== to.left) {
        row.root.animate([{ opacity: 0 }, { opacity: 1 }], SLIDE);
      } else if (from.top !== to.top) {
        row.root.animate([{ transform: `translateY(${from.top - to.top}px)` }, { transform: 'none' }], SLIDE);
      }
    }
  }
}

const placeOf = ({ root }) => ({ left: root.offsetLeft, top: root.offsetTop });
