// Passes the page's data to the charts and draws each in its place; if a chart cannot be drawn, its table remains.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const names = (columns) => Object.keys(columns);
const rows = (columns) => (columns[names(columns)[0]] || []).map((_, i) => Object.fromEntries(names(columns).map((name) => [name, columns[name][i]])));
const samples = rows(read("samples"));
// `ast`: expressions are interpreted, because the policy of the page forbids to compile them.
const options = { actions: false, ast: true, renderer: "svg", config: read("config"), tooltip: { disableDefaultStyle: true, theme: "page" } };
const views = (globalThis.fourtuple = { views: {} }).views; // for inspection in the browser's console

// Which part of the time axis a key shows next, relative to the part shown now.
const keys = { "+": [0.25, 0.75], "-": [-0.5, 1.5], ArrowLeft: [-0.25, 0.75], ArrowRight: [0.25, 1.25] };

function steer(place, view) {
  place.tabIndex = 0;
  place.setAttribute("aria-keyshortcuts", "Plus - ArrowLeft ArrowRight 0");
  place.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return; // shortcuts of the browser
    const [first, last] = view.scale("x").domain();
    const part = keys[event.key];
    if (part) view.signal("zoom_at_s", part.map((share) => first + share * (last - first)));
    else if (event.key === "0") view.signal("zoom_tuple", null);
    else return;
    event.preventDefault();
    view.run();
  });
}

for (const [name, chart] of Object.entries(read("charts"))) {
  const place = document.querySelector(`#${name} .chart`);
  const specification = { ...chart, datasets: { ...chart.datasets, samples } };
  vegaEmbed(place, specification, options).then(
    ({ view }) => {
      views[name] = view;
      if ("zoom_at_s" in view.getState({ signals: () => true }).signals) steer(place, view);
    },
    (error) => { place.textContent = `This chart could not be drawn: ${error.message}`; console.error(error); },
  );
}

document.addEventListener("samples", ({ detail }) => {
  const now = rows(detail);
  for (const view of Object.values(views)) {
    if ("samples" in view.getState({ data: (name) => name === "samples", signals: () => false }).data) view.data("samples", now).runAsync();
  }
});
