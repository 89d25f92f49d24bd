using System.Text.Json;
using MemSim.Captures;
using MemSim.Recordings.Import;

namespace MemSim.Recordings.Replay;

/// <summary>Reads one line of a recording whose lines are JSON documents of their own.</summary>
/// <param name="line">The line.</param>
/// <param name="path">The file, for messages.</param>
/// <param name="number">The line's number.</param>
internal delegate T JsonLineReader<out T>(ReadOnlySpan<byte> line, string path, int number);

/// <summary>Reads recordings of a JSON document a line whole, so that nothing is compared when a line is malformed.</summary>
internal static class JsonLines
{
    /// <summary>More than the longest line of any recording, in bytes.</summary>
    private const int LongestLine = 1 << 24;

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file, plain or packed.</param>
    /// <param name="read">Reads a line.</param>
    /// <param name="longestLine">Bytes that a line has at most.</param>
    /// <exception cref="InputFileException">The file is missing or malformed; the message names the line.</exception>
    public static List<T> ReadAll<T>(string path, JsonLineReader<T> read, int longestLine = LongestLine)
    {
        List<T> records = [];
        using Utf8LineReader lines = new(InputFile.Open(path), path, longestLine);
        while (lines.TryRead(out ReadOnlySpan<byte> line))
        {
            try
            {
                records.Add(read(line, path, lines.Line));
            }
            catch (InputFileException e)
            {
                // A line is a document of its own: the fault's line within it says nothing.
                throw new InputFileException(path, lines.Line, e.Reason, e);
            }
            catch (JsonException e)
            {
                throw new InputFileException(path, lines.Line, e.Message, e);
            }
        }

        return records;
    }

    /// <summary>A line as a tree.</summary>
    public static JsonElement ReadElement(ReadOnlySpan<byte> line, string path, int number)
    {
        Utf8JsonReader reader = new(line);
        JsonElement element = JsonElement.ParseValue(ref reader);
        return reader.Read() ? throw new InputFileException(path, number, "more follows the document") : element;
    }
}
