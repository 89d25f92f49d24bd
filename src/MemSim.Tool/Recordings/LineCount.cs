using MemSim.Captures;

namespace MemSim.Tool.Recordings;

/// <summary>Counts the lines of a recording, so that progress has an end and speed a unit.</summary>
internal static class LineCount
{
    public static long Of(string path)
    {
        using Stream stream = InputFile.Open(path);
        byte[] buffer = new byte[1 << 16];
        long lines = 0;
        try
        {
            for (int read = stream.Read(buffer); read > 0; read = stream.Read(buffer))
            {
                lines += buffer.AsSpan(0, read).Count((byte)'\n');
            }
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new InputFileException(path, (int)Math.Min(lines + 1, int.MaxValue), "the compressed data is damaged or cut off", e);
        }

        return lines;
    }
}
