// A writer of ZIP archives that only stores: PNGs and JPEGs are compressed already.

const MOST_BYTES = 2 ** 31; // well below where ZIP64 begins
const MOST_FILES = 10_000;

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

// Little-endian fields: [value, bytes] each.
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

// Entries are {name, blob}; names have to differ (see `distinct`). `progress` is told each file.
export async function zip(entries, progress = () => {}) {
  const parts = [];
  const directory = [];
  const when = dosTime(new Date());
  let offset = 0;
  let directorySize = 0;
  for (const { name, blob } of entries) {
    const bytes = new TextEncoder().encode(name);
    const common = [
      [20, 2], [0x0800, 2], [0, 2], ...when, // version, names are UTF-8, stored
      [await crc32(blob), 4], [blob.size, 4], [blob.size, 4], [bytes.length, 2], [0, 2],
    ];
    const header = fields([0x04034b50, 4], ...common);
    const entry = fields(
      [0x02014b50, 4], [0x0314, 2], ...common, // made on Unix
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

// Splits entries into archives that every program can open.
export function archives(entries) {
  const all = [[]];
  let size = 0;
  for (const entry of entries) {
    const last = all.at(-1);
    if (last.length && (size + entry.blob.size > MOST_BYTES || last.length === MOST_FILES)) {
      all.push([entry]);
      size = entry.blob.size;
    } else {
      last.push(entry);
      size += entry.blob.size;
    }
  }
  return all;
}

const EXTENSION = /\.(jpe?g|jpe|jfif|png|webp|tiff?|bmp|gif|mpo|avif|heic)$/i;
// control characters, what turns the direction of writing, and what Windows forbids
const UNWELCOME = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069<>:"|?*]/g;
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

// The name of a photograph's cut-out: a relative path that is safe on every system.
export function cutName(name, { type }) {
  const parts = name
    .split(/[/\\]/)
    .map((part) => part.replace(UNWELCOME, "_").replace(/^ +|[. ]+$/g, ""))
    .filter(Boolean)
    .map((part) => (RESERVED.test(part) ? `_${part}` : part));
  const path = parts.join("/").replace(EXTENSION, "").slice(-200);
  return `${path.replace(/^\/+/, "") || "cutout"}.${type === "image/jpeg" ? "jpg" : "png"}`;
}

// Renames what is there twice: a.png, a (2).png; also where only the case differs.
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
