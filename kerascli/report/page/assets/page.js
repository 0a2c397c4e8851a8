"use strict";
(() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const byId = (id) => document.getElementById(id);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const smoothing = byId("smoothing");
  const log = byId("log");
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

  function draw() {
    drawn.forEach((plot) => plot.destroy());
    const weight = smoothing ? Number(smoothing.value) : 0;
    const axis = { stroke: color("--soft"), grid: { stroke: color("--faint"), width: 1 }, ticks: { show: false } };
    drawn = [...document.querySelectorAll(".chart")].map((box) => {
      const lines = data.charts[box.dataset.chart].lines;
      const points = uPlot.join(lines.map((line) => [line.x, smooth(line.y, weight)]));
      const series = lines.map((line) => ({
        label: line.label, stroke: color(`--c${line.color}`), width: 2, spanGaps: lines.length > 2,
        dash: line.dashed ? [6, 4] : undefined, points: { show: line.x.length <= 20 },
        value: (_, value) => (value === null || value === undefined ? "-" : String(Number(value.toPrecision(weight ? 4 : 17)))),
      }));
      return new uPlot({
        width: box.clientWidth, height: 250,
        scales: { x: { time: false }, y: { distr: log && log.checked ? 3 : 1 } },
        axes: [{ ...axis, incrs: [1, 2, 5].flatMap((n) => [...Array(9).keys()].map((k) => n * 10 ** k)).sort((a, b) => a - b) },
               { ...axis, size: 64 }],
        series: [{ label: "epoch" }, ...series],
      }, points, box);
    });
  }

  let waiting = 0;
  const redraw = () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(draw); };
  if (document.querySelector(".chart")) {
    [smoothing, log].forEach((input) => input.addEventListener("input", redraw));
    addEventListener("resize", redraw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    addEventListener("beforeprint", draw);
    addEventListener("afterprint", redraw);
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
  document.querySelectorAll("table.sortable").forEach((table) => {
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sortBy(table, heading));
      heading.append(button);
    }
  });
  const filter = byId("filter");
  if (filter) {
    filter.addEventListener("input", () => {
      const text = filter.value.toLowerCase();
      document.querySelectorAll("table.sortable tbody tr").forEach((row) => {
        row.hidden = !row.textContent.toLowerCase().includes(text);
      });
    });
  }

  document.querySelectorAll(".samples").forEach((box) => {
    const shown = [...box.querySelectorAll("figure")];
    const slider = box.querySelector("input");
    const show = () => shown.forEach((each, number) => { each.hidden = number !== Number(slider.value); });
    slider.addEventListener("input", show);
    show();
  });
})();
