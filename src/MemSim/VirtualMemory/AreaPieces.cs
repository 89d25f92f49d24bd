using System.Diagnostics.CodeAnalysis;

namespace MemSim.VirtualMemory;

/// <summary>What a range has of each area it touches, in order, holes passed over; areas may be changed between two steps.</summary>
/// <remarks><c>madvise()</c> and <c>msync()</c> serve the areas between holes and complain at the end; of a hole behind the last one, too.</remarks>
internal struct AreaPieces(VmaTree areas, ulong start, ulong end)
{
    private ulong _at = start;

    /// <summary>Whether part of the range passed so far is no area's.</summary>
    public bool HasHoles { get; private set; }

    /// <summary>Goes on to the next area.</summary>
    /// <param name="vma">The area.</param>
    /// <param name="from">Where the range begins in it.</param>
    /// <param name="to">Where the range, or the area, ends.</param>
    /// <returns>False behind the last.</returns>
    public bool Next([NotNullWhen(true)] out Vma? vma, out ulong from, out ulong to)
    {
        vma = _at < end ? areas.Find(_at) : null;
        if (vma is null || vma.StartValue >= end)
        {
            HasHoles |= _at < end;
            (vma, from, to) = (null, end, end);
            return false;
        }

        HasHoles |= vma.StartValue > _at;
        from = Math.Max(_at, vma.StartValue);
        to = _at = Math.Min(end, vma.EndValue);
        return true;
    }
}
