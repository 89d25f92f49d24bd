using System.IO.Compression;
using System.Text;

namespace MemSim.Captures;

/// <summary>Opens recorded data, whether plain or packed with gzip; the first two bytes decide, not the name.</summary>
public static class InputFile
{
    /// <summary>Opens a file for reading its unpacked bytes.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputFileException">The file cannot be opened.</exception>
    public static Stream Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        FileStream file;
        try
        {
            file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1 << 16, FileOptions.SequentialScan);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputFileException(path, 0, e is FileNotFoundException or DirectoryNotFoundException ? "no such file" : $"cannot be opened: {e.Message}", e);
        }

        try
        {
            bool packed = file.ReadByte() == 0x1f && file.ReadByte() == 0x8b;
            file.Position = 0;
            return packed ? new GZipStream(file, CompressionMode.Decompress) : file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Opens a file for reading its unpacked text as UTF-8.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputFileException">The file cannot be opened.</exception>
    public static StreamReader OpenText(string path) => new(Open(path), Encoding.UTF8);

    /// <summary>Reads the text of a file, plain or packed.</summary>
    internal static string ReadText(string path)
    {
        using StreamReader reader = OpenText(path);
        return reader.ReadToEnd();
    }

    /// <summary>Reads a whole unpacked file of limited size.</summary>
    internal static byte[] ReadAllBytes(string path, int maxBytes)
    {
        using Stream stream = Open(path);
        using MemoryStream content = new();
        byte[] buffer = new byte[1 << 16];
        try
        {
            int read;
            while ((read = stream.Read(buffer)) > 0)
            {
                if (content.Length + read > maxBytes)
                {
                    throw new InputFileException(path, 0, $"is larger than {maxBytes} bytes");
                }

                content.Write(buffer, 0, read);
            }
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new InputFileException(path, 0, "the compressed data is damaged or cut off", e);
        }

        return content.ToArray();
    }
}
