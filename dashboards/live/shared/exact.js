// Numbers that have more digits than a JavaScript number keeps: shown as they came.

/** Doubles hold every number of so many digits. */
const SAFE_DIGITS = 15;

/** Behaves as a number where one is calculated, and as its own text where it is shown. */
export class Exact {
  constructor(source) {
    this.source = source;
  }

  [Symbol.toPrimitive]() {
    return this.source;
  }

  toString() {
    return this.source;
  }
}

/** Parses JSON without losing a digit; browsers that do not tell a number's text give the nearest number. */
export function parseJson(text) {
  return JSON.parse(text, (key, value, context) =>
    typeof value === 'number' && digits(context?.source) > SAFE_DIGITS ? new Exact(context.source) : value,
  );
}

export const isNumber = (value) => typeof value === 'number' || value instanceof Exact;
export const isInteger = (value) => (value instanceof Exact ? /^-?\d+$/.test(value.source) : Number.isInteger(value));

const digits = (source) => (source ? source.split(/e/i)[0].replace(/\D/g, '').replace(/^0+/, '').length : 0);
