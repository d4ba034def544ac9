// Hands the page's data to the charts and draws each in its place; one that cannot be drawn leaves its table behind.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const columns = read("samples");
const names = Object.keys(columns);
const samples = (columns[names[0]] || []).map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
const config = read("config");
const options = { actions: false, renderer: "svg", config, tooltip: { disableDefaultStyle: true, theme: "page" } };
const views = (globalThis.fourtuple = { views: {} }).views; // for a look from the browser's console
for (const [name, chart] of Object.entries(read("charts"))) {
  const place = document.querySelector(`#${name} .chart`);
  const specification = { ...chart, datasets: { ...chart.datasets, samples } };
  vegaEmbed(place, specification, options).then(
    ({ view }) => { views[name] = view; },
    (error) => { place.textContent = `This chart could not be drawn: ${error.message}`; console.error(error); },
  );
}
