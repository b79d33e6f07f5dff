// The choice of a currency, which appears only where there is one.

import { el } from './dom.js';
import { domainCurrency } from './format.js';

export class CurrencyChoice {
  constructor(host, select, changed) {
    this.host = host;
    this.select = select;
    this.chosen = null;
    this.known = [];
    select.addEventListener('change', () => {
      this.chosen = select.value;
      changed();
    });
  }

  /** Takes the currencies that rows are in; the domain's own comes first. */
  offer(currencies) {
    const own = domainCurrency();
    this.known = [...new Set(currencies)].sort((a, b) => (b === own) - (a === own) || a.localeCompare(b));
    this.host.hidden = this.known.length < 2;
    const names = this.known.join();
    if (this.select.dataset.known !== names) {
      this.select.dataset.known = names;
      this.select.replaceChildren(...this.known.map((code) => el('option', { value: code }, code)));
    }
    this.select.value = this.shown();
  }

  shown() {
    return this.known.includes(this.chosen) ? this.chosen : (this.known[0] ?? domainCurrency());
  }
}
