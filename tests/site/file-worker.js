// A page that is opened as a file may not start a worker, so its search would not work. This runs the worker's script in a
// hidden frame instead. It has what the search uses of a worker: messages in both directions, and an end. A message is a copy,
// as with a worker: the search changes the query that it is given, and the page still shows its own.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const inner = this.frame.contentWindow
      inner.postMessage = message => {
        const data = structuredClone(message)
        setTimeout(() => this.onmessage?.({ data }))
      }
      this.ready = new Promise((done, failed) => {
        const script = inner.document.createElement("script")
        script.src = url
        script.onload = done
        script.onerror = failed
        inner.document.body.append(script)
      })
      this.ready.catch(error => this.onerror?.(error))
    }
    postMessage(message) {
      const data = structuredClone(message)
      this.ready.then(() => this.frame.contentWindow?.onmessage?.({ data }))
    }
    terminate() {
      this.frame.remove()
    }
  }
}
