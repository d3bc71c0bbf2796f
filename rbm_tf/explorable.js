// Draws the frames of `rbm_tf.explorable.Explorable`, in a notebook and in the book. It only draws:
// all numbers come from Python.
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"];
const [WIDTH, HEIGHT] = [600, 320];
const [LEFT, RIGHT, TOP, BOTTOM] = [62, 12, 12, 44];

function add(parent, name, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  element.textContent = text;
  parent.append(element);
  return element;
}

function ticks([low, high]) {
  const rough = (high - low) / 7, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough);
  const values = [];
  for (let k = Math.ceil(low / step); k * step <= high + 1e-9 * step; k++) values.push(k * step);
  return values.map(value => [value, String(+value.toPrecision(6))]);
}

function render({ model, el }) {
  const get = name => model.get(name);
  const [x, frames, curves] = [get("x"), get("frames"), get("curves")];
  const half = get("bars") ? (x[1] - x[0]) / 2 : 0;
  const xlim = [x[0] - half, x.at(-1) + half], ylim = get("ylim");
  const right = v => LEFT + ((v - xlim[0]) / (xlim[1] - xlim[0])) * (WIDTH - LEFT - RIGHT);
  const up = v => {
    const share = (v - ylim[0]) / (ylim[1] - ylim[0]);
    return HEIGHT - BOTTOM - Math.min(Math.max(share, 0), 1) * (HEIGHT - BOTTOM - TOP);
  };

  el.classList.add("explorable");
  const style = "width: 100%; max-width: 640px; color: inherit";
  const svg = add(el, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", style });
  add(svg, "title", {}, get("alt"));
  const ink = { fill: "currentColor", "font-size": 13 };
  for (const [value, text] of ticks(xlim))
    add(svg, "text", { ...ink, x: right(value), y: HEIGHT - BOTTOM + 17, "text-anchor": "middle" }, text);
  for (const [value, text] of ticks(ylim)) {
    add(svg, "line", { x1: LEFT, x2: WIDTH - RIGHT, y1: up(value), y2: up(value), stroke: "currentColor", opacity: 0.15 });
    add(svg, "text", { ...ink, x: LEFT - 6, y: up(value) + 4, "text-anchor": "end" }, text);
  }
  add(svg, "line", { x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM, stroke: "currentColor" });
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  add(svg, "text", { ...ink, x: (LEFT + WIDTH) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, get("xlabel"));
  add(svg, "text", { ...ink, "text-anchor": "middle", transform: `translate(14 ${middle}) rotate(-90)` }, get("ylabel"));

  const columns = get("bars") ? x.map(at => add(svg, "rect", {
    x: right(at - half) + 0.5, width: Math.max(right(at + half) - right(at - half) - 1, 1), fill: COLOURS[0],
  })) : [];
  const lines = curves.map((_, curve) => add(svg, "polyline", {
    fill: "none", stroke: COLOURS[curve % COLOURS.length], "stroke-width": 2.5, "stroke-linejoin": "round",
  }));
  if (curves.length > 1) curves.forEach((name, curve) => add(svg, "text", {
    ...ink, fill: COLOURS[curve % COLOURS.length], x: WIDTH - RIGHT - 4, y: TOP + 16 * (curve + 1),
    "text-anchor": "end", "font-weight": "bold",
  }, name));

  const row = document.createElement("label");
  row.style = "display: flex; gap: 0.6em; align-items: center; max-width: 640px";
  const slider = document.createElement("input"), value = document.createElement("output");
  Object.assign(slider, { type: "range", min: 0, max: frames.length - 1 });
  slider.style.flex = "1";
  slider.setAttribute("aria-label", get("name"));
  slider.dataset.lmSuppressShortcuts = "true";  // JupyterLab would take the arrow keys
  value.style.minWidth = "8em";
  row.append(slider, value);
  el.append(row);

  function draw() {
    const index = get("index");
    frames[index].forEach((ys, curve) => {
      const bars = curve === 0 ? columns : [];
      bars.forEach((bar, k) => {
        bar.setAttribute("y", up(ys[k]));
        bar.setAttribute("height", up(ylim[0]) - up(ys[k]));
      });
      if (!bars.length) lines[curve].setAttribute("points", ys.map((y, k) => `${right(x[k])},${up(y)}`).join(" "));
    });
    slider.value = index;
    value.textContent = `${get("name")} = ${get("labels")[index]}`;
    slider.setAttribute("aria-valuetext", value.textContent);
  }
  slider.addEventListener("input", () => {
    model.set("index", +slider.value);
    model.save_changes();
    draw();
  });
  model.on("change:index", draw);
  draw();
}

export default { render };
