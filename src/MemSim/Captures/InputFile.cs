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
            return packed ? new PackedFile(file, path) : file;
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
        int read;
        while ((read = stream.Read(buffer)) > 0)
        {
            if (content.Length + read > maxBytes)
            {
                throw new InputFileException(path, 0, $"is larger than {maxBytes} bytes");
            }

            content.Write(buffer, 0, read);
        }

        return content.ToArray();
    }

    /// <summary>A packed file whose damage is told as that of an input file, whoever reads it.</summary>
    private sealed class PackedFile(FileStream file, string path) : GZipStream(file, CompressionMode.Decompress)
    {
        // A GZipStream's other reads come here when it is derived from.
        public override int Read(byte[] buffer, int offset, int count)
        {
            try
            {
                return base.Read(buffer, offset, count);
            }
            catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
            {
                throw new InputFileException(path, 0, "the compressed data is damaged or cut off", e);
            }
        }

        public override int ReadByte()
        {
            byte[] one = new byte[1];
            return Read(one, 0, 1) == 0 ? -1 : one[0];
        }

        public override void CopyTo(Stream destination, int bufferSize)
        {
            byte[] buffer = new byte[bufferSize];
            for (int read = Read(buffer, 0, bufferSize); read > 0; read = Read(buffer, 0, bufferSize))
            {
                destination.Write(buffer, 0, read);
            }
        }
    }
}
