// The header: connection, watermark and how far it is behind, the domain's clock, and the outage banner.

import { serverNow } from './api.js';
import { byId, setState, setText } from './dom.js';
import { clock, duration, moment, domainZone, zoneName } from './format.js';

/** The watermark is 10 s behind by design; these leave room for a quiet minute before the page worries. */
const LAG_FINE_MS = 60_000;
const LAG_SLOW_MS = 10 * 60_000;

const CONNECTION_TEXT = {
  connecting: 'Conectando',
  live: 'Ao vivo',
  polling: 'A cada 2 s',
  down: 'Sem conexão',
};

export class Header {
  constructor(retryNow) {
    this.watermark = null;
    this.polled = null;
    this.streamOpen = false;
    this.lastAnswer = null;
    byId('outage-retry').addEventListener('click', retryNow);
    setInterval(() => this.tick(), 1_000);
    this.tick();
  }

  /** What the last polling cycle saw. */
  setPolled(polled) {
    this.polled = polled;
    if (!polled.outage) this.lastAnswer = serverNow();
    this.tick();
  }

  setStreamOpen(open) {
    this.streamOpen = open;
    this.tick();
  }

  setWatermark(watermark) {
    this.watermark = watermark;
    this.tick();
  }

  tick() {
    const now = serverNow();
    setText(byId('clock'), clock(now));
    setText(byId('zone-name'), zoneName());
    byId('zone-name').title = domainZone();
    setText(byId('foot-zone'), domainZone());
    this.showConnection();
    this.showWatermark(now);
    this.showOutage(now);
  }

  showConnection() {
    const node = byId('connection');
    let state = 'connecting';
    if (this.polled?.outage) state = 'down';
    else if (this.polled) state = this.streamOpen ? 'live' : 'polling';
    setState(node, state);
    setText(node, CONNECTION_TEXT[state]);
  }

  showWatermark(now) {
    const lag = byId('watermark-lag');
    if (this.watermark === null) {
      setText(byId('watermark'), '—');
      setText(lag, '');
      setState(lag, 'unknown');
      return;
    }
    const behind = now - this.watermark;
    setText(byId('watermark'), moment(this.watermark, now, true));
    setText(lag, `${duration(behind)} atrás`);
    setState(lag, behind < LAG_FINE_MS ? 'fine' : behind < LAG_SLOW_MS ? 'slow' : 'far');
  }

  showOutage(now) {
    const outage = this.polled?.outage;
    byId('outage').hidden = !outage;
    document.body.classList.toggle('stale', Boolean(outage));
    if (!outage) return;
    const seconds = Math.max(0, Math.ceil((this.polled.nextTry - Date.now()) / 1000));
    const again = seconds > 0 ? `Nova tentativa em ${seconds} s.` : 'Tentando de novo…';
    const shown = this.lastAnswer === null ? '' : `Os números abaixo são das ${moment(this.lastAnswer, now, true)}. `;
    setText(byId('outage-title'), outage.message);
    setText(byId('outage-detail'), `${shown}${again}`);
  }
}
