// Renders the training faces: N faces of every (gender, race, expression, cue), and some pictures without a face.
//   node render.mjs --out ../../.work/renders --per-bucket 40 [--seed 0] [--shard 0/1] [--empty 2000]
// Writes <out>/shard-K.rgb (raw 64 x 64 x 3 bytes an image) and <out>/shard-K.csv, and resumes at the bucket where it stopped.
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { Resvg } from "@resvg/resvg-js";
import { faceToSvgString, generate, svgs } from "facesjs";
import { cues, expressions } from "./cues.mjs";

const { values: arg } = parseArgs({
  options: {
    out: { type: "string" },
    "per-bucket": { type: "string", default: "40" },
    empty: { type: "string", default: "2000" },
    seed: { type: "string", default: "0" },
    shard: { type: "string", default: "0/1" },
  },
});
const [shard, shards] = arg.shard.split("/").map(Number);
const SIZE = 64;
const GENDERS = ["female", "male"];
// facesjs calls its third palette "brown"; the package names the group "hispanic", the column of BLS table 11 it is given shares from.
const RACES = ["asian", "black", "hispanic", "white"];
// Narrower than facesjs' own palettes, so that two races never share a skin colour.
const SKIN = { asian: ["#f0c08f", "#e8b27a"], black: ["#74453d", "#5c3937"], hispanic: ["#bb876f", "#aa7a60"], white: ["#f7dfd6", "#f2d6cb"] };
const HAIR_COLOUR = {
  asian: ["#0f0902"], black: ["#1d1a17"], hispanic: ["#1c1008", "#3a2315"],
  white: ["#3D2314", "#5A3825", "#CC9966", "#B55239", "#e9c67b", "#D7BF91"],
};
const HAIR = {
  female: ["female1", "female2", "female4", "female5", "female6", "female7", "female9"],
  male: ["short", "short2", "short3", "crop", "crop-fade", "parted", "messy-short", "spike", "short-fade", "curly", "short-bald", "middle-part"],
};
const HAIR_BG = ["female2", "female3", "female5"];
const BEARDS = ["beard1", "beard3", "fullgoatee", "goatee1-stache", "mustache1", "beard5", "none", "none", "none"];
const EYES = { female: ["female1", "female3", "female4", "female9", "female10", "female15"], male: ["eye1", "eye2", "eye4", "eye6", "eye9", "eye12"] };
const BROWS = { female: ["female1", "female3", "female6"], male: ["eyebrow1", "eyebrow4", "eyebrow7"] };
const HEADS = { female: ["female1", "female2", "female3"], male: ["head1", "head2", "head3", "head5", "head9"] };
const NOSES = ["nose1", "nose2", "nose5", "nose9", "small"];

for (const [name, expression] of Object.entries(expressions)) svgs.mouth[name] = expression.mouth;

function seeded(seed) { // mulberry32
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
const choose = (list) => list[Math.floor(Math.random() * list.length)];

const VIEW = `viewBox="-50 90 500 500" width="${SIZE}" height="${SIZE}"`;
function rgb(svg) {
  const pixels = new Resvg(svg, { font: { loadSystemFonts: false } }).render().pixels;
  const out = Buffer.alloc(SIZE * SIZE * 3);
  for (let i = 0, j = 0; i < pixels.length; i += 4) { out[j++] = pixels[i]; out[j++] = pixels[i + 1]; out[j++] = pixels[i + 2]; }
  return out;
}

function faceSvg({ gender, race, expression, cue }) {
  const look = cues[cue], mood = expressions[expression], female = gender === "female";
  svgs.jersey.clothes = look.clothes;
  svgs.accessories.headwear = look.headwear ?? "";
  const face = generate({}, { gender, race: race === "hispanic" ? "brown" : race });
  Object.assign(face, {
    fatness: (female ? 0.15 : 0.4) + 0.4 * Math.random(),
    body: { id: "body", color: choose(SKIN[race]), size: 1 },
    jersey: { id: "clothes" },
    hair: { id: choose(HAIR[gender]), color: choose(HAIR_COLOUR[race]), flip: false },
    hairBg: { id: female ? choose(HAIR_BG) : "none" },
    head: { id: choose(HEADS[gender]), shave: "rgba(0,0,0,0)" },
    facialHair: { id: female ? "none" : choose(BEARDS) },
    ear: { id: "ear1", size: 0.8 },
    eye: { id: choose(EYES[gender]), angle: 0 },
    eyebrow: { id: choose(BROWS[gender]), angle: mood.browAngle },
    nose: { id: choose(NOSES), flip: false, size: 0.7 },
    mouth: { id: expression, flip: false },
    accessories: { id: look.headwear ? "headwear" : "none" },
    glasses: { id: Math.random() < 0.12 ? "glasses1-primary" : "none" },
    teamColors: ["#222222", "#222222", "#222222"],
    eyeLine: { id: "none" }, smileLine: { id: "none", size: 1 }, miscLine: { id: "none" },
  });
  const body = faceToSvgString(face).replace(/<svg[^>]*>/, "").replace(/<\/svg>\s*$/, "");
  return `<svg xmlns="http://www.w3.org/2000/svg" ${VIEW}>${look.backdrop}${liftBrows(body, face, mood.browLift)}</svg>`;
}

// facesjs puts brows at a fixed height; the two groups are found by their order: body parts before them are known.
function liftBrows(body, face, lift) {
  const groups = body.split(/\n(?=<g transform=|<g>)/);
  const before = ["hairBg", "body", "jersey", "ear", "ear", "head", "eyeLine", "smileLine", "smileLine", "miscLine", "facialHair", "eye", "eye"]
    .filter((name) => face[name].id !== "none").length;
  const offset = groups[0].trim() === "" ? 1 : 0;
  for (const i of [before, before + 1]) groups[offset + i] = `<g transform="translate(0 ${lift})">${groups[offset + i].trim()}</g>`;
  return groups.join("\n");
}

function emptySvg(cue) { // the sector's backdrop, or its clothes and hat, with nobody in them
  const look = cues[cue];
  return `<svg xmlns="http://www.w3.org/2000/svg" ${VIEW}>${look.backdrop}${Math.random() < 0.3 ? look.clothes : ""}</svg>`;
}

const buckets = [];
for (const gender of GENDERS) for (const race of RACES) for (const expression of Object.keys(expressions)) for (const cue of Object.keys(cues))
  buckets.push({ gender, race, expression, cue });
const mine = buckets.map((bucket, index) => ({ ...bucket, index })).filter(({ index }) => index % shards === shard);

fs.mkdirSync(arg.out, { recursive: true });
const base = path.join(arg.out, `shard-${shard}`);
const HEADER = "gender,race,expression,cue\n";
const perBucket = Number(arg["per-bucket"]), bytes = SIZE * SIZE * 3 * perBucket;
let done = 0; // whole buckets on disk in both files
if (fs.existsSync(`${base}.rgb`) && fs.existsSync(`${base}.csv`)) {
  const rows = fs.readFileSync(`${base}.csv`, "utf8").split("\n").length - 2;
  done = Math.min(mine.length, Math.floor(Math.min(fs.statSync(`${base}.rgb`).size / bytes, rows / perBucket)));
  fs.truncateSync(`${base}.rgb`, done * bytes);
  const kept = fs.readFileSync(`${base}.csv`, "utf8").split("\n").slice(0, 1 + done * perBucket).join("\n") + "\n";
  fs.writeFileSync(`${base}.csv`, kept);
} else { fs.writeFileSync(`${base}.rgb`, ""); fs.writeFileSync(`${base}.csv`, HEADER); }

for (let k = done; k < mine.length; k++) {
  const { index, gender, race, expression, cue } = mine[k];
  Math.random = seeded(Number(arg.seed) * 100003 + index); // one stream a bucket, so shards and resumption change nothing
  const images = [], rows = [];
  for (let i = 0; i < perBucket; i++) { images.push(rgb(faceSvg({ gender, race, expression, cue }))); rows.push(`${gender},${race},${expression},${cue}\n`); }
  fs.appendFileSync(`${base}.rgb`, Buffer.concat(images));
  fs.appendFileSync(`${base}.csv`, rows.join(""));
  if (k % 20 === 19 || k === mine.length - 1) console.log(`shard ${shard}: ${k + 1} of ${mine.length} buckets`);
}
Math.random = seeded(Number(arg.seed) * 100003 + 99991 + shard);
const names = Object.keys(cues), images = [], rows = [];
for (let i = 0; i < Number(arg.empty) / shards; i++) { const cue = names[i % names.length]; images.push(rgb(emptySvg(cue))); rows.push(`none,none,none,${cue}\n`); }
fs.appendFileSync(`${base}.rgb`, Buffer.concat(images));
fs.appendFileSync(`${base}.csv`, rows.join(""));
