// What a viewer can see besides the face: one clothing, backdrop and, for some, headwear per occupation sector,
// and one mouth and brow per expression. Coordinates are those of facesjs (a 400 x 600 sheet, head at y 100 to 500).

const corners = (shape) => `<g transform="translate(-5 135)">${shape}</g><g transform="translate(405 135)">${shape}</g>`;
const rect = (x, y, w, h, fill) => `<rect x="${x}" y="${y}" width="${w}" height="${h}" fill="${fill}"/>`;
const sheet = (fill) => rect(-60, 80, 520, 520, fill);
const torso = (fill, detail = "") =>
  `<path fill="${fill}" stroke="#000" stroke-width="6" d="M-45 625 L-35 565 Q0 505 100 485 Q150 550 200 555 Q250 550 300 485 Q400 505 435 565 L445 625 Z"/>${detail}`;
const hat = (paths) => `<g>${paths}</g>`;
const stripes = (fill, step, size) =>
  Array.from({ length: 6 }, (_, i) => rect(-60, 95 + i * step, 520, size, fill)).join("");

export const cues = {
  plain: { backdrop: sheet("#d3d3d3"), clothes: torso("#7d8ca3") },
  office: {
    backdrop: sheet("#b8c4d6") + rect(-60, 150, 70, 450, "#8b9bb8") + rect(385, 130, 75, 470, "#8b9bb8") + rect(-45, 170, 15, 20, "#fff6b0") + rect(420, 160, 15, 20, "#fff6b0"),
    clothes: torso("#27304d", `<path fill="#fff" d="M140 520 L200 625 L260 520 Z"/><path fill="#c0232c" d="M185 545 L215 545 L222 625 L178 625 Z"/>`),
  },
  tech: {
    backdrop: sheet("#10241f") + [0, 1, 2, 3, 4].map((i) => rect(-50, 110 + i * 40, 60 + (i % 2) * 35, 14, "#3ddc84") + rect(385 - (i % 2) * 30, 110 + i * 40, 65, 14, "#3ddc84")).join(""),
    clothes: torso("#5b616b", `<path stroke="#2c2f35" stroke-width="8" fill="none" d="M150 540 L150 600 M250 540 L250 600"/>`),
  },
  engineering: {
    backdrop: sheet("#2f6db5") + [0, 1, 2, 3, 4, 5, 6].map((i) => rect(-60 + i * 75, 80, 6, 520, "#8fb8e8") + rect(-60, 100 + i * 75, 520, 6, "#8fb8e8")).join(""),
    clothes: torso("#e9eef5", rect(285, 560, 45, 45, "#2f6db5")),
  },
  medical: {
    backdrop: sheet("#c9ece6") + corners(rect(-14, -42, 28, 84, "#e0202b") + rect(-42, -14, 84, 28, "#e0202b")),
    clothes: torso("#2aa198", `<path fill="#fff" d="M150 515 L200 600 L250 515 Z"/>`),
  },
  care: {
    backdrop: sheet("#f8cfdd") + corners(`<path fill="#e75480" d="M0 40 C-70 -15 -30 -60 0 -25 C30 -60 70 -15 0 40 Z"/>`),
    clothes: torso("#b565a7"),
  },
  education: {
    backdrop: sheet("#2c5a40") + rect(-60, 80, 520, 22, "#a8703a") + corners(`<path stroke="#f4f4f4" stroke-width="11" fill="none" d="M-35 30 L0 -35 L35 30 M-18 5 L18 5"/>`),
    clothes: torso("#8b5a2b", `<path fill="#f5e8c8" d="M150 515 L200 590 L250 515 Z"/>`),
  },
  science: {
    backdrop: sheet("#ddd6f2") + corners(`<path fill="#7d4fc4" stroke="#40227a" stroke-width="6" d="M-12 -45 L12 -45 L12 -10 L42 45 L-42 45 L-12 -10 Z"/>`),
    clothes: torso("#ffffff", `<path stroke="#555" stroke-width="6" fill="none" d="M200 555 L200 625 M150 520 L180 600 M250 520 L220 600"/>`),
    headwear: hat(`<path fill="#8fd3ff" stroke="#222" stroke-width="10" d="M75 175 Q200 125 325 175 L325 225 Q200 185 75 225 Z"/>`),
  },
  arts: {
    backdrop: sheet("#f6d743") + corners(`<circle cx="-18" cy="-20" r="24" fill="#e4405f"/><circle cx="20" cy="10" r="24" fill="#3b7dd8"/><circle cx="-20" cy="42" r="20" fill="#2fa84f"/>`),
    clothes: torso("#1d1d1d"),
  },
  food: {
    backdrop: sheet("#f2a65a") + corners(`<circle r="40" fill="#fff"/><circle r="24" fill="#d9d9d9"/>`),
    clothes: torso("#fafafa", `<circle cx="175" cy="590" r="9" fill="#333"/><circle cx="225" cy="590" r="9" fill="#333"/>`),
    headwear: hat(`<path fill="#fff" stroke="#000" stroke-width="6" d="M95 200 L85 150 Q40 90 120 92 Q200 60 280 92 Q360 90 315 150 L305 200 Q200 165 95 200 Z"/>`),
  },
  retail: {
    backdrop: sheet("#efe6d2") + stripes("#b98b57", 85, 12) + [0, 1, 2].map((i) => rect(-50, 110 + i * 85, 30, 55, "#d94f4f") + rect(-15, 120 + i * 85, 25, 45, "#4f8fd9") + rect(390, 110 + i * 85, 28, 55, "#e0b83c") + rect(424, 120 + i * 85, 28, 45, "#57b368")).join(""),
    clothes: torso("#3fae49", rect(280, 555, 60, 28, "#fff")),
  },
  trades: {
    backdrop: sheet("#b5523b") + stripes("#e0c3b4", 75, 8) + [0, 1, 2, 3, 4, 5].map((i) => rect(-20 + (i % 2) * 35, 103 + i * 75, 8, 68, "#e0c3b4") + rect(400 + (i % 2) * 30, 103 + i * 75, 8, 68, "#e0c3b4")).join(""),
    clothes: torso("#ff7a1a", rect(70, 500, 30, 125, "#f4ff5c") + rect(300, 500, 30, 125, "#f4ff5c")),
    headwear: hat(`<path fill="#ffd21f" stroke="#000" stroke-width="6" d="M70 195 Q75 85 200 80 Q325 85 330 195 Z"/><path fill="#f0b400" stroke="#000" stroke-width="6" d="M35 190 Q200 155 365 190 L365 212 Q200 180 35 212 Z"/>`),
  },
  transport: {
    backdrop: sheet("#86c5f4") + corners(`<ellipse cx="0" cy="0" rx="50" ry="24" fill="#fff"/>`) + rect(-60, 420, 520, 180, "#5a5a5a") + rect(-50, 470, 50, 14, "#fff") + rect(400, 470, 50, 14, "#fff"),
    clothes: torso("#8e2f2f", `<path stroke="#111" stroke-width="26" d="M80 495 L330 640"/>`),
  },
  protection: {
    backdrop: sheet("#39404d") + `<circle cx="-10" cy="130" r="52" fill="#ff2e2e"/><circle cx="410" cy="130" r="52" fill="#2e6bff"/>`,
    clothes: torso("#1b2850", `<circle cx="310" cy="575" r="22" fill="#f3c623"/>`),
    headwear: hat(`<path fill="#1b2850" stroke="#000" stroke-width="6" d="M70 185 L50 125 Q200 60 350 125 L330 185 Q200 150 70 185 Z"/><path fill="#0b0f1f" d="M80 185 Q200 150 320 185 L330 215 Q200 180 70 215 Z"/><circle cx="200" cy="128" r="20" fill="#f3c623"/>`),
  },
  outdoors: {
    backdrop: sheet("#b5e2fa") + rect(-60, 360, 520, 240, "#5fae3f") + `<circle cx="425" cy="115" r="45" fill="#ffd93b"/>`,
    clothes: torso("#3c5a99", rect(110, 500, 28, 125, "#24386b") + rect(262, 500, 28, 125, "#24386b")),
    headwear: hat(`<path fill="#e3c16f" stroke="#000" stroke-width="6" d="M95 185 Q105 80 200 78 Q295 80 305 185 Z"/><path fill="#d2a94e" stroke="#000" stroke-width="6" d="M5 195 Q200 130 395 195 Q200 235 5 195 Z"/>`),
  },
  cleaning: {
    backdrop: sheet("#a8ecec") + corners(`<circle cx="-15" cy="-15" r="30" fill="#fff"/><circle cx="25" cy="25" r="20" fill="#fff"/>`),
    clothes: torso("#ffe45c", rect(130, 560, 140, 60, "#3a9a9a")),
    headwear: hat(`<path fill="#d63a6a" stroke="#000" stroke-width="6" d="M55 225 Q65 90 200 85 Q335 90 345 225 Q200 130 55 225 Z"/>`),
  },
  law: {
    backdrop: sheet("#5d3a1f") + [0, 1, 2].map((i) => rect(-55, 100 + i * 90, 18, 65, "#9c1f2e") + rect(-33, 100 + i * 90, 18, 65, "#c9a227") + rect(-11, 100 + i * 90, 18, 65, "#23527c") + rect(393, 100 + i * 90, 18, 65, "#23527c") + rect(415, 100 + i * 90, 18, 65, "#9c1f2e") + rect(437, 100 + i * 90, 18, 65, "#c9a227")).join(""),
    clothes: torso("#0d0d0d", `<path fill="#fff" d="M175 545 L225 545 L240 625 L160 625 Z"/>`),
  },
};

// browLift moves both brows up (negative y); browAngle turns their inner ends down (positive) or up (negative).
export const expressions = {
  calm: { browAngle: 0, browLift: 0, mouth: `<path d="M150 440 L250 440" stroke="#000" stroke-width="9" fill="none"/>` },
  happy: { browAngle: -4, browLift: -8, mouth: `<path d="M130 420 Q200 445 270 420 Q255 490 200 490 Q145 490 130 420 Z" fill="#fff" stroke="#000" stroke-width="8"/>` },
  sad: { browAngle: -26, browLift: -4, mouth: `<path d="M140 465 Q200 405 260 465" stroke="#000" stroke-width="11" fill="none"/>` },
  angry: { browAngle: 28, browLift: 14, mouth: `<path d="M140 425 L260 425 L260 465 L140 465 Z" fill="#fff" stroke="#000" stroke-width="8"/><path d="M180 425 L180 465 M220 425 L220 465" stroke="#000" stroke-width="6" fill="none"/>` },
  surprised: { browAngle: 0, browLift: -30, mouth: `<path d="M200 410 C235 410 240 485 200 485 C160 485 165 410 200 410 Z" fill="#5a1010" stroke="#000" stroke-width="8"/>` },
  afraid: { browAngle: -22, browLift: -26, mouth: `<path d="M135 450 L157 430 L178 455 L200 430 L222 455 L243 430 L265 450" stroke="#000" stroke-width="10" fill="none"/>` },
};
