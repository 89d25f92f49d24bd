using System.Runtime.InteropServices.JavaScript;
using System.Runtime.Versioning;

namespace MemSim.Explorer.Pictures;

/// <summary>The calls that happen every frame, straight to <c>wwwroot/js/map.js</c>: one a frame, bytes as they lie in memory.</summary>
[SupportedOSPlatform("browser")]
internal static partial class PictureScript
{
    private const string Module = "map";

    /// <summary>Makes the script known; the page's other calls use the same module.</summary>
    public static async Task Load() => await JSHost.ImportAsync(Module, "../js/map.js");

    /// <summary>Brings a picture up to date.</summary>
    /// <param name="picture">Its number.</param>
    /// <param name="message">What <see cref="MapEncoder"/> wrote.</param>
    /// <param name="now">How many tracepoints fired.</param>
    /// <param name="flash">Whether what changed lights up.</param>
    [JSImport("update", Module)]
    public static partial void Update(int picture, [JSMarshalAs<JSType.MemoryView>] Span<byte> message, double now, bool flash);

    /// <summary>Waits for the next frame.</summary>
    [JSImport("nextFrame", Module)]
    public static partial Task NextFrame();
}
