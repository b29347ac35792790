// Sends one event of each kind with a real Node SDK: node send.cjs segment|rudder URL KEY NAME GZIP
const [sdk, url, key, name, gzip] = process.argv.slice(2)
const modules = process.env.SDK_MODULES
const when = new Date('2026-01-02T03:04:05.000Z')
const track = {
  userId: name,
  event: 'Order Completed',
  properties: { total: 12.5, sku: '条码', nested: { list: [1, null, 'x'] } },
  timestamp: when,
  context: { ip: '203.0.113.7' },
}

async function segment() {
  const { Analytics } = require(`${modules}/@segment/analytics-node`)
  const client = new Analytics({ writeKey: key, host: url, flushInterval: 200, maxRetries: 10 })
  client.on('error', (error) => console.error(String(error.code)))
  client.identify({ userId: name, traits: { email: 'a@example.com' } })
  client.track(track)
  client.page({ userId: name, category: 'Docs', name: 'Home', properties: { url: 'http://x/' } })
  client.screen({ userId: name, name: 'Start' })
  client.group({ userId: name, groupId: 'g-1', traits: { name: 'Acme' } })
  client.alias({ userId: `${name}-new`, previousId: name })
  await client.closeAndFlush({ timeout: 60000 })
}

async function rudder() {
  const Analytics = require(`${modules}/@rudderstack/rudder-sdk-node`)
  const client = new Analytics(key, { dataPlaneUrl: url, flushInterval: 200, gzip: gzip === 'gzip', logLevel: 'silly' })
  client.identify({ userId: name, traits: { email: 'a@example.com' } })
  client.track(track)
  client.page({ userId: name, category: 'Docs', name: 'Home', properties: { url: 'http://x/' } })
  client.screen({ userId: name, name: 'Start' })
  client.group({ userId: name, groupId: 'g-1', traits: { name: 'Acme' } })
  await new Promise((resolve) => client.alias({ userId: `${name}-new`, previousId: name }, resolve))
  await new Promise((resolve) => client.flush(resolve))
}

;(sdk === 'segment' ? segment() : rudder()).then(() => process.exit(0))
