// Draws the charts of a page, filters its tables and closes its details. Without it the page shows all rows and no chart.
"use strict";

const LOOK = {
  background: "transparent",
  font: "ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif",
  view: { stroke: null },
  axis: {
    domain: false, tickColor: "var(--line)", gridColor: "var(--line)", labelColor: "var(--muted)",
    titleColor: "var(--muted)", titleFontWeight: 500, labelFontSize: 12, titleFontSize: 12, labelLimit: 240,
  },
  legend: { labelColor: "var(--ink)", titleColor: "var(--muted)", labelFontSize: 12, orient: "top", title: null },
  text: { color: "var(--ink)", fontSize: 12 },
};

async function drawChart(figure) {
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const place = figure.querySelector(".plot");
  figure.hidden = false;
  const narrow = figure.clientWidth < 560;
  const config = narrow ? { ...LOOK, axis: { ...LOOK.axis, labelLimit: 110 } } : LOOK;
  await vegaEmbed(place, spec, { renderer: "svg", actions: false, ast: true, config });
  const svg = place.querySelector("svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", figure.dataset.label);
}

function filterTable(form) {
  const rows = [...document.querySelectorAll(`#${form.dataset.table} tbody tr`)];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const classes = rows.map((row) => row.dataset.classes.split(" "));
  const [search, choice, count] = ["input", "select", "output"].map((name) => form.querySelector(name));
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      const fits = (!choice.value || classes[i].includes(choice.value)) && words.every((word) => texts[i].includes(word));
      row.hidden = !fits;
      shown += fits;
    });
    count.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows shown`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
}

document.documentElement.classList.add("scripted");
document.querySelectorAll(".table").forEach((each) => { if (each.scrollWidth > each.clientWidth) each.tabIndex = 0; });
document.querySelectorAll("details[data-closes]").forEach((each) => { each.open = false; });
document.querySelectorAll("form.filter").forEach(filterTable);
const drawn = [...document.querySelectorAll("figure.chart")].map((figure) => drawChart(figure).catch((error) => {
  figure.hidden = true; // the table has the numbers
  console.error(error);
}));
Promise.all(drawn).then(() => { document.documentElement.dataset.drawn = "yes"; });
