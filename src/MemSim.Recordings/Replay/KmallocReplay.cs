using System.Globalization;
using MemSim.Captures;
using MemSim.Kernels;

namespace MemSim.Recordings;

/// <summary>Does every kmalloc that a 6.1 kernel recorded: what <c>ksize()</c> says, and which cache or zone the object comes from.</summary>
/// <remarks>Format: <c>kmalloc.txt.gz</c>, lines <c>FLAGS SIZE KSIZE PLACE</c>, recorded on a machine of 2 GiB without merging.</remarks>
public static class KmallocReplay
{
    private const string FileName = "kmalloc.txt.gz";

    /// <summary>Whether a folder holds recorded sizes of kmalloc.</summary>
    /// <param name="directory">The folder.</param>
    public static bool IsData(string directory) => File.Exists(Path.Combine(directory, FileName));

    /// <summary>Compares the whole data set.</summary>
    /// <param name="directory">The folder.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that <c>job.json</c> names, else 6.1.</param>
    /// <returns>What matched and what did not.</returns>
    /// <exception cref="InputFileException">The file is missing or malformed.</exception>
    public static ReplayResult Run(string directory, KernelChoice? kernel = null)
    {
        ArgumentNullException.ThrowIfNull(directory);
        return RunFile(Path.Combine(directory, FileName), Path.GetFileName(Path.GetFullPath(directory)), RecordedJob.KernelOr(directory, kernel));
    }

    internal static ReplayResult RunFile(string path, string name, KernelChoice? kernel = null)
    {
        ReplayTally tally = new();
        using Machine machine = Machine.Boot(MachineSpec.X86_64("2G").WithCommandLine("slab_nomerge").WithoutContents().WithKernel(kernel ?? KernelChoice.Of(KernelLines.Linux6_1)));
        Cpu cpu = machine.Cpus[0];
        using StreamReader reader = InputFile.OpenText(path);
        for (int line = 1; ReadLine(reader, path, line) is { } text; line++)
        {
            if (text.StartsWith('#'))
            {
                continue;
            }

            string[] fields = text.Split(' ');
            if (fields.Length != 4 || !TryParseGfp(fields[0], out Gfp gfp) || !long.TryParse(fields[1], NumberStyles.None, CultureInfo.InvariantCulture, out long size))
            {
                throw new InputFileException(path, line, $"'{text}' is not like FLAGS SIZE KSIZE PLACE");
            }

            VirtualAddress obj = cpu.Kmalloc(size, gfp);
            (string ksize, string place) = Describe(machine, cpu, obj);
            cpu.Kfree(obj);
            int at = line;
            tally.Compare("ksize", ksize == fields[2], () => $"line {at}: {text}, here {ksize}");
            tally.Compare("place", place == fields[3], () => $"line {at}: {text}, here {place}");
        }

        ReplayResult result = tally.ToResult(name);
        return result.Total != 0 ? result : throw new InputFileException(path, 0, "no allocation is recorded");
    }

    private static string? ReadLine(StreamReader reader, string path, int line)
    {
        try
        {
            return reader.ReadLine();
        }
        catch (InvalidDataException e)
        {
            throw new InputFileException(path, line, $"cannot be unpacked: {e.Message}", e);
        }
    }

    private static bool TryParseGfp(string text, out Gfp gfp)
    {
        gfp = Gfp.Kernel;
        foreach (string flag in text.Split('_'))
        {
            switch (flag)
            {
                case "KERNEL":
                    break;
                case "DMA":
                    gfp |= Gfp.Dma;
                    break;
                case "RECLAIMABLE":
                    gfp |= Gfp.Reclaimable;
                    break;
                case "ACCOUNT":
                    gfp |= Gfp.Account;
                    break;
                default:
                    return false;
            }
        }

        return true;
    }

    private static (string Ksize, string Place) Describe(Machine machine, Cpu cpu, VirtualAddress obj)
    {
        if (obj.IsNull)
        {
            return ("NULL", "-");
        }

        if (obj == SlabAllocator.ZeroSizePointer)
        {
            return ("ZERO_SIZE_PTR", "-");
        }

        Page page = cpu.Pages.VirtToPage(obj).CompoundHead;
        string ksize = cpu.Slab.Ksize(obj).ToString(CultureInfo.InvariantCulture);
        return page.Flags.HasFlag(PageFlags.Slab)
            ? (ksize, machine.Slab.CacheOf(machine.Slab.Memory[page.FrameIndex].Cache).Name)
            : (ksize, $"page:order{page.CompoundOrder}:{page.Zone.Type.KernelName()}");
    }
}
