using System.Text.Json;
using MemSim.Captures;
using MemSim.Kernels;

namespace MemSim.Recordings;

/// <summary>What a recording's <c>job.json</c> says about the kernel.</summary>
public static class RecordedJob
{
    private const string FileName = "job.json";
    private const int LongestFile = 1 << 20;

    /// <summary>The kernel whose rules a recording is replayed by.</summary>
    /// <param name="directory">The recording's folder.</param>
    /// <param name="wanted">The kernel that the user wants; null for the recorded one.</param>
    /// <returns>The one wanted, else the one recorded, else 6.1.</returns>
    /// <exception cref="InputFileException">The file is no JSON object, or names a kernel without a version.</exception>
    public static KernelChoice KernelOr(string directory, KernelChoice? wanted) => wanted ?? KernelOf(directory) ?? KernelChoice.Of(KernelLines.Linux6_1);

    /// <summary>The kernel that was recorded; null where the file is missing or does not say.</summary>
    /// <param name="directory">The recording's folder.</param>
    /// <exception cref="InputFileException">The file is no JSON object, or names a kernel without a version.</exception>
    public static KernelChoice? KernelOf(string directory)
    {
        string path = Path.Combine(directory, FileName);
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(InputFile.ReadAllBytes(path, LongestFile));
            if (!document.RootElement.TryGetProperty("kernel", out JsonElement kernel) || kernel.GetString() is not string text)
            {
                return null;
            }

            return KernelChoice.TryFor(text, out KernelChoice? choice) ? choice : throw new InputFileException(path, 0, $"'kernel' is \"{text}\", which names no version");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new InputFileException(path, 0, $"no JSON object with a text 'kernel': {e.Message}");
        }
    }
}
