const DATE = 0x0021; // 1 January 1980, the first that ZIP knows

/**
 * NumPy's .npz: a ZIP file without compression of .npy files (numpy.lib.format, version 1.0).
 *
 * @param arrays {name: {values, shape}}, `values` a Float32Array or Int32Array in C order, or strings (one axis)
 */
export function npz(arrays) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [array, content] of Object.entries(arrays)) {
    const name = ascii(`${array}.npy`);
    const data = npy(content);
    const size = int32(data.length);
    // version, flags, method, time, date, checksum, both sizes, lengths of the name and of what follows it
    const entry = [...int16(20, 0, 0, 0, DATE), ...int32(crc32(data)), ...size, ...size, ...int16(name.length, 0)];
    const local = Uint8Array.from([...ascii("PK\x03\x04"), ...entry, ...name]);
    directory.push(...ascii("PK\x01\x02"), ...int16(20), ...entry, ...int16(0, 0, 0), ...int32(0), ...int32(offset), ...name);
    parts.push(local, data);
    offset += local.length + data.length;
  }
  const count = Object.keys(arrays).length;
  const end = [...ascii("PK\x05\x06"), ...int16(0, 0, count, count), ...int32(directory.length), ...int32(offset), ...int16(0)];
  return join([...parts, Uint8Array.from([...directory, ...end])]);
}

function npy({ values, shape = [values.length] }) {
  const [kind, bytes] = encode(values);
  const axes = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const head = `{'descr': '${kind}', 'fortran_order': False, 'shape': ${axes}, }`;
  const length = 64 * Math.ceil((10 + head.length + 1) / 64) - 10; // the data begin at a multiple of 64
  const lead = [0x93, ...ascii("NUMPY"), 1, 0, ...int16(length), ...ascii(`${head.padEnd(length - 1)}\n`)];
  return join([Uint8Array.from(lead), bytes]);
}

/** Browsers run on little-endian machines only, so the bytes of an array are already in NumPy's order. */
function encode(values) {
  if (values instanceof Float32Array) return ["<f4", new Uint8Array(values.buffer)];
  if (values instanceof Int32Array) return ["<i4", new Uint8Array(values.buffer)];
  const points = values.map((text) => Array.from(text, (character) => character.codePointAt(0)));
  const width = Math.max(1, ...points.map(({ length }) => length));
  const padded = new Uint32Array(width * values.length);
  points.forEach((row, i) => padded.set(row, i * width));
  return [`<U${width}`, new Uint8Array(padded.buffer)];
}

const ascii = (text) => Array.from(text, (character) => character.charCodeAt(0));
const int16 = (...values) => values.flatMap((value) => [value & 255, (value >>> 8) & 255]);
const int32 = (value) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);

function join(parts) {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const REMAINDERS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes) {
  let sum = -1;
  for (const byte of bytes) sum = REMAINDERS[(sum ^ byte) & 255] ^ (sum >>> 8);
  return ~sum;
}
