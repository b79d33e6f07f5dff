// Numbers, money and times as readers know them: pt-BR, in the domain's zone and currency.

const LOCALE = 'pt-BR';
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Until the API has named the domain's. */
const settings = { zone: 'UTC', currency: 'XXX' };
let formatters = new Map();

export const domainZone = () => settings.zone;
export const domainCurrency = () => settings.currency;

/** Takes the zone and currency the API names; a value Intl does not know is left out. */
export function configure({ zone, currency }) {
  if (zone && zone !== settings.zone && works(() => new Intl.DateTimeFormat(LOCALE, { timeZone: zone }))) {
    settings.zone = zone;
    formatters = new Map();
  }
  if (currency && isCurrency(currency)) settings.currency = currency;
}

function works(attempt) {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
}

const isCurrency = (code) => works(() => new Intl.NumberFormat(LOCALE, { style: 'currency', currency: code }));

function cached(key, make) {
  let formatter = formatters.get(key);
  if (!formatter) {
    formatter = make();
    formatters.set(key, formatter);
  }
  return formatter;
}

function dateFormat(name, options) {
  return cached(`date ${name}`, () => new Intl.DateTimeFormat(LOCALE, { timeZone: settings.zone, ...options }));
}

function numberFormat(name, options) {
  return cached(`number ${name}`, () => new Intl.NumberFormat(LOCALE, options));
}

export const integer = (value) => numberFormat('integer', { maximumFractionDigits: 0 }).format(value);
export const decimal = (value, digits = 2) =>
  numberFormat(`decimal ${digits}`, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
export const plainNumber = (value) => numberFormat('plain', { maximumFractionDigits: 6 }).format(value);
export const compact = (value) => numberFormat('compact', { notation: 'compact', maximumFractionDigits: 1 }).format(value);

/** With two decimals and its sign; a code Intl refuses is written before a plain number. */
export function money(value, currency = settings.currency) {
  if (!isKnown(currency)) return `${currency} ${decimal(value)}`;
  return numberFormat(`money ${currency}`, {
    style: 'currency', currency, minimumFractionDigits: 2, maximumFractionDigits: 2,
  }).format(value);
}

/** Shortened (1,2 mil), for axes. */
export function moneyCompact(value, currency = settings.currency) {
  if (!isKnown(currency)) return `${currency} ${compact(value)}`;
  return numberFormat(`money compact ${currency}`, {
    style: 'currency', currency, notation: 'compact', minimumFractionDigits: 0, maximumFractionDigits: 1,
  }).format(value);
}

const isKnown = (currency) => cached(`known ${currency}`, () => ({ yes: isCurrency(currency) })).yes;

/** A share with as many digits as it needs: 97%, 1,2%, 0,03%, < 0,01%. */
export function share(part, whole) {
  if (!(whole > 0)) return '—';
  const ratio = part / whole;
  if (ratio > 0 && ratio < 0.0001) return '< 0,01%';
  // A share that is not whole must not read 100%.
  if (ratio < 1 && ratio > 0.9999) return '> 99,99%';
  const digits = ratio === 0 || ratio === 1 ? 0 : ratio < 0.01 || ratio > 0.99 ? 2 : 1;
  return numberFormat(`share ${digits}`, { style: 'percent', maximumFractionDigits: digits }).format(ratio);
}

/** Larger changes than this are not told apart. */
const MOST_CHANGE = 9.99;

/** A change with its sign: +4,2%, −0,8%, > +999%. */
export function change(ratio) {
  if (ratio > MOST_CHANGE) return `> ${change(MOST_CHANGE)}`;
  const digits = Math.abs(ratio) < 1 ? 1 : 0;
  return numberFormat(`change ${digits}`, {
    style: 'percent', signDisplay: 'exceptZero', maximumFractionDigits: digits,
  }).format(ratio);
}

export const clock = (ms) => dateFormat('clock', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(ms);
export const hourMinute = (ms) => dateFormat('minute', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(ms);
const dayMonth = (ms) => dateFormat('day', { day: '2-digit', month: '2-digit' }).format(ms);
const wholeDay = (ms) => dateFormat('whole day', { day: '2-digit', month: '2-digit', year: 'numeric' }).format(ms);
const year = (ms) => dateFormat('year', { year: 'numeric' }).format(ms);
const dayKey = (ms) => dateFormat('key', { year: 'numeric', month: '2-digit', day: '2-digit' }).format(ms);

/** The time alone when it is today in the domain's zone, else with the day, and with the year when it is another. */
export function moment(ms, now, withSeconds = false) {
  const time = withSeconds ? clock(ms) : hourMinute(ms);
  if (dayKey(ms) === dayKey(now)) return time;
  return `${year(ms) === year(now) ? dayMonth(ms) : wholeDay(ms)} ${time}`;
}

/** `14:31–14:32`, with days where they are needed. */
export function period(from, to, now) {
  const start = moment(from, now);
  const end = dayKey(from) === dayKey(to) ? hourMinute(to) : moment(to, now);
  return `${start}–${end}`;
}

/** `12 s`, `3 min`, `2 h 05 min`, `4 dias`. */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (ms < HOUR_MS) return `${Math.round(ms / MINUTE_MS)} min`;
  if (ms < 2 * DAY_MS) {
    const minutes = Math.floor(ms / MINUTE_MS);
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
  }
  return `${Math.floor(ms / DAY_MS)} dias`;
}

/** `Horário de Brasília`, or the zone's own name where the browser has no better. */
export function zoneName() {
  try {
    const parts = dateFormat('zone', { timeZoneName: 'longGeneric' }).formatToParts(Date.now());
    return parts.find((part) => part.type === 'timeZoneName')?.value ?? settings.zone;
  } catch {
    return settings.zone;
  }
}

/** The start of the day that contains `ms` in the domain's zone. */
export function startOfDay(ms) {
  const target = dayKey(ms);
  const minutes = wallMinutes(ms);
  let start = Math.floor(ms / MINUTE_MS) * MINUTE_MS - minutes * MINUTE_MS;
  // A day on which the clocks change is an hour longer or shorter than its wall time says.
  if (dayKey(start) !== target) start += HOUR_MS;
  else if (wallMinutes(start) !== 0) start -= wallMinutes(start) * MINUTE_MS;
  // Where midnight comes twice, the day begins with the first.
  if (dayKey(start - 1) === target) start -= HOUR_MS;
  return start;
}

function wallMinutes(ms) {
  const [hours, minutes] = hourMinute(ms).split(':').map(Number);
  return hours * 60 + minutes;
}
