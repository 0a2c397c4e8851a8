"use strict";
(() => {
  let data = JSON.parse(document.getElementById("page-data").textContent);
  const byId = (id) => document.getElementById(id);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let drawn = [];

  // Exponential moving average of the values, corrected for its start at zero.
  function smooth(values, weight) {
    let mean = 0, count = 0;
    return values.map((value) => {
      if (value === null) return null;
      mean = weight * mean + (1 - weight) * value;
      count += 1;
      return mean / (1 - weight ** count);
    });
  }

  const shown = (value, digits) => (value === null || value === undefined ? "-" : String(Number(value.toPrecision(digits))));
  const WHOLE = [1, 2, 5].flatMap((n) => [...Array(9).keys()].map((k) => n * 10 ** k)).sort((a, b) => a - b);

  function draw() {
    const weight = Number(byId("smoothing").value);
    const axis = { stroke: color("--soft"), grid: { stroke: color("--faint"), width: 1 }, ticks: { show: false } };
    drawn.forEach((plot) => plot.destroy());
    drawn = [...document.querySelectorAll(".chart")].map((box) => {
      const lines = data.charts[box.dataset.chart].lines;
      const points = uPlot.join(lines.map((line) => [line.x, smooth(line.y, weight)]));
      const series = lines.map((line) => ({
        label: line.label, stroke: color(`--c${line.color}`), width: 2, spanGaps: lines.length > 2,
        dash: line.dashed ? [6, 4] : undefined, points: { show: line.x.length <= 20 },
        value: (_, value) => shown(value, weight ? 4 : 17),
      }));
      return new uPlot({
        width: box.clientWidth, height: 250, legend: { show: lines.length <= 24 },
        scales: { x: { time: false }, y: { distr: byId("log").checked ? 3 : 1 } },
        axes: [{ ...axis, incrs: WHOLE }, { ...axis, size: 64 }],
        series: [{ label: "epoch" }, ...series],
      }, points, box);
    });
  }

  let waiting = 0;
  const redraw = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(() => byId("smoothing") && draw()); };
  addEventListener("resize", redraw);
  addEventListener("afterprint", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  function setUpCurves(section) {
    section.querySelectorAll(".controls input").forEach((input) => input.addEventListener("input", redraw));
    draw();
  }

  // Tables: a click on a column's heading sorts, the search field keeps the rows that contain its text.
  const cellValue = (row, index) => {
    const text = row.cells[index].textContent;
    return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
  };
  function sortBy(table, heading) {
    const falling = heading.getAttribute("aria-sort") === "ascending";
    [...heading.parentNode.cells].forEach((cell) => cell.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      const [a, b] = [cellValue(one, heading.cellIndex), cellValue(other, heading.cellIndex)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
      return falling ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }
  function setUpTable(table) {
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sortBy(table, heading));
      heading.append(button);
    }
    const filter = table.closest("section").querySelector("input[type=search]");
    filter.addEventListener("input", () => {
      const text = filter.value.toLowerCase();
      for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(text);
    });
  }

  function setUpSamples(box) {
    const figures = [...box.querySelectorAll("figure")];
    const slider = box.querySelector("input");
    const show = () => figures.forEach((each, number) => { each.hidden = number !== Number(slider.value); });
    slider.addEventListener("input", show);
    show();
  }

  // What each threshold costs: counts and scores at the chosen one.
  function setUpCuts(box) {
    const cuts = box.dataset.cuts.split(" ").map((each) => each.split(",").map(Number));
    const [negatives, positives] = box.dataset.totals.split(" ").map(Number);
    const slider = box.querySelector("input");
    const ratio = (part, whole) => (whole ? part / whole : 0).toFixed(4);
    const show = () => {
      const [cut, hits, alarms] = cuts[slider.value];
      const correct = hits + negatives - alarms;
      slider.setAttribute("aria-valuetext", String(cut));
      box.querySelector("output").textContent =
        `${Number(cut.toPrecision(4))}: precision ${ratio(hits, hits + alarms)}, recall ${ratio(hits, positives)}, ` +
        `F1 ${ratio(2 * hits, hits + alarms + positives)}, accuracy ${ratio(correct, negatives + positives)}; ` +
        `${hits} found, ${positives - hits} missed, ${alarms} false alarms, ${negatives - alarms} rightly rejected`;
    };
    slider.addEventListener("input", show);
    show();
  }

  function setUp(section) {
    section.querySelectorAll(".cuts").forEach(setUpCuts);
    section.querySelectorAll("table.sortable").forEach(setUpTable);
    section.querySelectorAll(".samples").forEach(setUpSamples);
    if (section.id === "curves") setUpCurves(section);
  }
  const texts = new Map([...document.querySelectorAll("section")].map((each) => [each.id, each.outerHTML]));
  document.querySelectorAll("section").forEach(setUp);

  // A page that a server keeps up to date: sections that changed are replaced, curves are drawn again.
  function replaced(section) {
    const text = section.outerHTML;
    const own = byId(section.id);
    if (own && texts.get(section.id) === text) return;
    texts.set(section.id, text);
    const sameCharts = own && section.querySelectorAll(".chart").length === own.querySelectorAll(".chart").length;
    if (section.id === "curves" && sameCharts) {
      own.querySelectorAll("details").forEach((each) => each.replaceChildren(...section.querySelector("details").childNodes));
      return;
    }
    if (own) own.replaceWith(section); else document.querySelector("main").append(section);
    setUp(section);
  }
  async function update(source) {
    const answer = await fetch(location.href).catch(() => null);
    if (answer && answer.status === 404) source.close();
    if (!answer || !answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    data = JSON.parse(fresh.getElementById("page-data").textContent);
    fresh.querySelectorAll("section").forEach(replaced);
    redraw();
  }
  if (data.events) {
    const source = new EventSource(data.events);
    source.addEventListener("message", () => update(source));
  }
})();
