// Writes ZIP archives without compression: PNGs and JPEGs are compressed already.

// Limits of one archive, below those at which ZIP64 is needed.
const MAX_BYTES = 2 ** 31;
const MAX_FILES = 10_000;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

const CHUNK = 2 ** 23;

async function crc32(blob) {
  let crc = 0xffffffff;
  for (let from = 0; from < blob.size; from += CHUNK) {
    const bytes = new Uint8Array(await blob.slice(from, from + CHUNK).arrayBuffer());
    for (let at = 0; at < bytes.length; at += 1) {
      crc = TABLE[(crc ^ bytes[at]) & 0xff] ^ (crc >>> 8);
    }
  }
  return (crc ^ 0xffffffff) >>> 0;
}

// Returns little-endian fields, each given as [value, size in bytes].
function fields(...pairs) {
  const bytes = new DataView(new ArrayBuffer(pairs.reduce((sum, [, size]) => sum + size, 0)));
  let at = 0;
  for (const [value, size] of pairs) {
    if (size === 2) bytes.setUint16(at, value, true);
    else bytes.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

function dosTime(date) {
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  const day = ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
  return [[time, 2], [day, 2]];
}

// Returns an archive of entries {name, blob}, whose names must differ (see `distinct`). `progress` is
// called after each file.
export async function zip(entries, progress = () => {}) {
  const parts = [];
  const directory = [];
  const when = dosTime(new Date());
  let offset = 0;
  let directorySize = 0;
  for (const { name, blob } of entries) {
    const bytes = new TextEncoder().encode(name);
    const common = [
      [20, 2], [0x0800, 2], [0, 2], ...when, // version 2.0, UTF-8 names, not compressed
      [await crc32(blob), 4], [blob.size, 4], [blob.size, 4], [bytes.length, 2], [0, 2],
    ];
    const header = fields([0x04034b50, 4], ...common);
    const entry = fields(
      [0x02014b50, 4], [0x0314, 2], ...common, // created on Unix
      [0, 2], [0, 2], [0, 2], [(0o100644 << 16) >>> 0, 4], [offset, 4],
    );
    parts.push(header, bytes, blob);
    directory.push(entry, bytes);
    offset += header.byteLength + bytes.length + blob.size;
    directorySize += entry.byteLength + bytes.length;
    progress();
  }
  const end = fields(
    [0x06054b50, 4], [0, 2], [0, 2], [entries.length, 2], [entries.length, 2],
    [directorySize, 4], [offset, 4], [0, 2],
  );
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

// Splits entries into lists that fit into one archive each.
export function archives(entries) {
  const all = [[]];
  let size = 0;
  for (const entry of entries) {
    const last = all.at(-1);
    if (last.length && (size + entry.blob.size > MAX_BYTES || last.length === MAX_FILES)) {
      all.push([entry]);
      size = entry.blob.size;
    } else {
      last.push(entry);
      size += entry.blob.size;
    }
  }
  return all;
}

const EXTENSION = /\.(jpe?g|jpe|jfif|png|webp|tiff?|bmp|gif|mpo|avif|hei[cf]|hif)$/i;
// control characters, bidirectional marks, and what Windows forbids
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069<>:"|?*]/g;
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

// Returns the file name of a photograph's cut-out: a relative path that is safe on every system.
export function cutoutName(name, { type }) {
  const parts = name
    .split(/[/\\]/)
    .map((part) => part.replace(FORBIDDEN, "_").replace(/^ +|[. ]+$/g, ""))
    .filter(Boolean)
    .map((part) => (RESERVED.test(part) ? `_${part}` : part));
  const path = parts.join("/").replace(EXTENSION, "").slice(-200);
  return `${path.replace(/^\/+/, "") || "cutout"}.${type === "image/jpeg" ? "jpg" : "png"}`;
}

// Makes names unique by a number, ignoring case: a.png, a (2).png.
export function distinct(names) {
  const taken = new Set();
  return names.map((name) => {
    const [, stem, suffix] = name.match(/^(.*)(\.\w+)$/s);
    let free = name;
    for (let number = 2; taken.has(free.toLowerCase()); number += 1) free = `${stem} (${number})${suffix}`;
    taken.add(free.toLowerCase());
    return free;
  });
}
