using System.IO.Compression;
using System.Text;
using Microsoft.AspNetCore.Components.Forms;

namespace MemSim.Explorer.Sessions;

/// <summary>Reads files that somebody gives to the page, packed with gzip or not.</summary>
public static class TextFile
{
    /// <summary>The text of a file.</summary>
    /// <exception cref="IOException">The file is larger than asked for.</exception>
    public static async Task<string> Read(IBrowserFile file, long most)
    {
        ArgumentNullException.ThrowIfNull(file);
        byte[] bytes = await Bytes(file, most);
        if (bytes is not [0x1f, 0x8b, ..])
        {
            return Encoding.UTF8.GetString(bytes);
        }

        await using GZipStream packed = new(new MemoryStream(bytes), CompressionMode.Decompress);
        using StreamReader reader = new(packed, Encoding.UTF8);
        return await reader.ReadToEndAsync();
    }

    /// <summary>The bytes of a file, as they are.</summary>
    public static async Task<byte[]> Bytes(IBrowserFile file, long most)
    {
        ArgumentNullException.ThrowIfNull(file);
        await using Stream stream = file.OpenReadStream(most);
        using MemoryStream bytes = new();
        await stream.CopyToAsync(bytes);
        return bytes.ToArray();
    }
}
