using System.Net;
using System.Net.Sockets;

namespace MemSim.Tool.Viewing;

/// <summary>Serves a folder's files and some data to a browser on this machine, and to nobody else.</summary>
internal sealed class LoopbackServer : IDisposable
{
    private const int Tries = 20;

    private static readonly Dictionary<string, string> s_types = new(StringComparer.OrdinalIgnoreCase)
    {
        [".html"] = "text/html; charset=utf-8",
        [".js"] = "text/javascript; charset=utf-8",
        [".css"] = "text/css; charset=utf-8",
        [".json"] = "application/json",
        [".wasm"] = "application/wasm",
        [".svg"] = "image/svg+xml",
        [".png"] = "image/png",
        [".txt"] = "text/plain; charset=utf-8",
    };

    private readonly HttpListener _listener;
    private readonly IReadOnlyList<string> _roots;
    private readonly IReadOnlyDictionary<string, Func<byte[]>> _data;

    /// <summary>Starts to listen.</summary>
    /// <param name="roots">Folders with the files; earlier ones win.</param>
    /// <param name="data">What is served below <c>data/</c>.</param>
    /// <param name="port">The port; 0 for a free one.</param>
    /// <exception cref="BadInputException">The port is in use.</exception>
    public LoopbackServer(IReadOnlyList<string> roots, IReadOnlyDictionary<string, Func<byte[]>> data, int port)
    {
        _roots = [.. roots.Select(r => Path.GetFullPath(r) + Path.DirectorySeparatorChar)];
        _data = data;
        _listener = Listen(port, out int taken);
        Address = new Uri($"http://127.0.0.1:{taken}/");
    }

    /// <summary>Where it listens.</summary>
    public Uri Address { get; }

    /// <summary>Serves until it is told to stop.</summary>
    public async Task Run(CancellationToken stop)
    {
        using CancellationTokenRegistration registration = stop.Register(_listener.Stop);
        while (!stop.IsCancellationRequested)
        {
            HttpListenerContext context;
            try
            {
                context = await _listener.GetContextAsync().ConfigureAwait(false);
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException or InvalidOperationException)
            {
                return;
            }

            _ = Task.Run(() => Answer(context), CancellationToken.None);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _listener.Close();

    private static HttpListener Listen(int port, out int taken)
    {
        for (int i = 0; ; i++)
        {
            taken = port != 0 ? port : FreePort();
            HttpListener listener = new();
            listener.Prefixes.Add($"http://127.0.0.1:{taken}/");
            try
            {
                listener.Start();
                return listener;
            }
            catch (HttpListenerException e)
            {
                listener.Close();
                if (port != 0 || i == Tries)
                {
                    throw new BadInputException($"--port: {taken} cannot be listened on ({e.Message})", e);
                }
            }
        }
    }

    private static int FreePort()
    {
        using TcpListener probe = new(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }

    private void Answer(HttpListenerContext context)
    {
        try
        {
            HttpListenerResponse response = context.Response;
            response.Headers["Cache-Control"] = "no-cache";
            response.Headers["X-Content-Type-Options"] = "nosniff";
            if (context.Request.HttpMethod is not ("GET" or "HEAD") || Find(Uri.UnescapeDataString(context.Request.Url!.AbsolutePath).TrimStart('/')) is not { } found)
            {
                response.StatusCode = context.Request.HttpMethod is "GET" or "HEAD" ? 404 : 405;
                response.Close();
                return;
            }

            (string type, byte[] content) = found;
            response.ContentType = type;
            response.ContentLength64 = content.Length;
            response.Close(context.Request.HttpMethod == "HEAD" ? [] : content, willBlock: true);
        }
        catch (Exception e) when (e is HttpListenerException or IOException or ObjectDisposedException or InvalidOperationException)
        {
            // The browser went away, or the file did: its next request will tell.
            context.Response.Abort();
        }
    }

    private (string Type, byte[] Content)? Find(string path)
    {
        if (path.StartsWith("data/", StringComparison.Ordinal))
        {
            return _data.TryGetValue(path["data/".Length..], out Func<byte[]>? read) ? ("application/octet-stream", read()) : null;
        }

        path = path.Length == 0 ? "index.html" : path;
        foreach (string root in _roots)
        {
            string file = Path.GetFullPath(Path.Combine(root, path));
            if (file.StartsWith(root, StringComparison.Ordinal) && File.Exists(file))
            {
                return (s_types.GetValueOrDefault(Path.GetExtension(file), "application/octet-stream"), File.ReadAllBytes(file));
            }
        }

        return null;
    }
}
