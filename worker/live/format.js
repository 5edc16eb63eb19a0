// Figures as people read them.

const NONE = '\u2013';
const NARROW = '\u202f';

function digits(value) {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 99.95) return value.toFixed(0);
  return size >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

function scaled(value, step, units) {
  let at = 0;
  while (Math.abs(value) >= step * 0.9995 && at < units.length - 1) {
    value /= step;
    at++;
  }
  return digits(value) + (units[at] ? NARROW + units[at] : '');
}

function isNone(value) {
  return value === null || value === undefined || Number.isNaN(value);
}

const format = {
  count: (value) => isNone(value) ? NONE : Math.abs(value) < 10000 ? String(Math.round(value)) : scaled(value, 1000, ['', 'k', 'M', 'G']),
  rate: (value) => isNone(value) ? NONE : value === 0 ? '0' : scaled(value, 1000, ['', 'k', 'M', 'G']),
  us: (value) => isNone(value) ? NONE
    : value >= 999500 ? digits(value / 1e6) + NARROW + 's' : value < 1000 ? Math.round(value) + NARROW + '\u00b5s' : digits(value / 1000) + NARROW + 'ms',
  bytes: (value) => isNone(value) ? NONE : scaled(value, 1024, ['B', 'KB', 'MB', 'GB', 'TB']),
  percent: (value) => isNone(value) ? NONE : (value > 0 && value < 0.0995 ? (100 * value).toFixed(1) : Math.round(100 * value)) + NARROW + '%',
  time: (ms) => new Date(ms).toLocaleTimeString([], { hour12: false }),
  shortTime: (ms) => new Date(ms).toLocaleTimeString([], { hour12: false, hour: '2-digit', minute: '2-digit' }),
};

function formatQuantile(times, q) {
  const us = times.quantile(q);
  return (Number.isNaN(us) || !isUncertain(times, q) ? '' : '~') + format.us(us);
}

function formatAge(seconds) {
  if (seconds < 0.5) return 'now';
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}
