// Two MCP servers without any auth, at /api/mcp/one/mcp and /api/mcp/two/mcp, each with one tool. Prints its port.
import { createServer } from "node:http";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";

const server = createServer(async (request, response) => {
  const name = /^\/api\/mcp\/(one|two)\/mcp$/.exec(request.url)?.[1];
  if (name === undefined) return response.writeHead(404).end();
  const mcp = new McpServer({ name, version: "1.0.0" });
  mcp.registerTool(`weather-${name}`, { description: "The weather" }, async () => ({
    content: [{ type: "text", text: `authorization: ${request.headers.authorization ?? "none"}` }],
  }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on("close", () => transport.close());
  await mcp.connect(transport);
  await transport.handleRequest(request, response);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
